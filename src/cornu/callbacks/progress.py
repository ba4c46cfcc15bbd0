"""TEMPORARY"""
from cornu.callbacks.callback import Callback
class ProgbarLogger(Callback):
    any_batch=True
    def on_epoch_end(self, epoch, logs=None): print(epoch, logs)
