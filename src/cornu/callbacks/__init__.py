"""Callbacks: what is told about training."""

from __future__ import annotations

from cornu.base.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "BackupAndRestore": "cornu.callbacks.backup_and_restore",
        "CSVLogger": "cornu.callbacks.csv_logger",
        "Callback": "cornu.callbacks.callback",
        "CallbackList": "cornu.callbacks.callback",
        "EarlyStopping": "cornu.callbacks.early_stopping",
        "History": "cornu.callbacks.history",
        "LambdaCallback": "cornu.callbacks.lambda_callback",
        "LearningRateScheduler": "cornu.callbacks.learning_rate_scheduler",
        "ModelCheckpoint": "cornu.callbacks.model_checkpoint",
        "ProgbarLogger": "cornu.callbacks.progress",
        "ReduceLROnPlateau": "cornu.callbacks.reduce_lr_on_plateau",
        "TerminateOnNaN": "cornu.callbacks.terminate_on_nan",
    },
)
