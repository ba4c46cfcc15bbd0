"""Layers, by the kind of computation."""

from __future__ import annotations

from cornu.base.lazy import lazy_names

_MODULES = {
    "layer": "Layer",
    "input_spec": "InputSpec",
    "core.input_layer": "Input InputLayer",
    "core.dense": "Dense",
    "core.einsum_dense": "EinsumDense",
    "core.embedding": "Embedding",
    "core.identity": "Identity",
    "core.lambda_layer": "Lambda",
    "core.masking": "Masking",
    "core.wrapper": "Wrapper",
    "convolutional.conv": "Conv1D Conv2D Conv3D",
    "convolutional.conv_transpose": "Conv1DTranspose Conv2DTranspose Conv3DTranspose",
    "convolutional.depthwise_conv": "DepthwiseConv1D DepthwiseConv2D",
    "convolutional.separable_conv": "SeparableConv1D SeparableConv2D",
    "foreign.jax_layer": "FlaxLayer JaxLayer",
    "foreign.tfsm_layer": "TFSMLayer",
    "foreign.torch_module": "TorchModuleWrapper",
    "pooling.max_pooling": "MaxPooling1D MaxPooling2D MaxPooling3D",
    "pooling.average_pooling": "AveragePooling1D AveragePooling2D AveragePooling3D",
    "pooling.global_max_pooling": "GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D",
    "pooling.global_average_pooling": "GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D",
    "normalization.batch_normalization": "BatchNormalization",
    "normalization.group_normalization": "GroupNormalization",
    "normalization.layer_normalization": "LayerNormalization",
    "normalization.rms_normalization": "RMSNormalization",
    "normalization.unit_normalization": "UnitNormalization",
    "activation.activation": "Activation",
    "activation.elu": "ELU",
    "activation.leaky_relu": "LeakyReLU",
    "activation.prelu": "PReLU",
    "activation.relu": "ReLU",
    "activation.softmax": "Softmax",
    "regularization.activity_regularization": "ActivityRegularization",
    "regularization.alpha_dropout": "AlphaDropout",
    "regularization.dropout": "Dropout",
    "regularization.gaussian_dropout": "GaussianDropout",
    "regularization.gaussian_noise": "GaussianNoise",
    "regularization.spatial_dropout": "SpatialDropout1D SpatialDropout2D SpatialDropout3D",
    "reshaping.cropping": "Cropping1D Cropping2D Cropping3D",
    "reshaping.flatten": "Flatten",
    "reshaping.permute": "Permute",
    "reshaping.repeat_vector": "RepeatVector",
    "reshaping.reshape": "Reshape",
    "reshaping.up_sampling": "UpSampling1D UpSampling2D UpSampling3D",
    "reshaping.zero_padding": "ZeroPadding1D ZeroPadding2D ZeroPadding3D",
    "merging.elementwise": (
        "Add Average Maximum Minimum Multiply Subtract add average maximum minimum multiply subtract"
    ),
    "merging.concatenate": "Concatenate concatenate",
    "merging.dot": "Dot dot",
    "attention.additive_attention": "AdditiveAttention",
    "attention.attention": "Attention",
    "attention.grouped_query_attention": "GroupedQueryAttention",
    "attention.multi_head_attention": "MultiHeadAttention",
    "rnn.bidirectional": "Bidirectional",
    "rnn.gru": "GRU GRUCell",
    "rnn.lstm": "LSTM LSTMCell",
    "rnn.rnn": "RNN",
    "rnn.simple_rnn": "SimpleRNN SimpleRNNCell",
    "rnn.stacked_rnn_cells": "StackedRNNCells",
    "rnn.time_distributed": "TimeDistributed",
}
_NAMES = {name: f"cornu.layers.{module}" for module, names in _MODULES.items() for name in names.split()}
_ALIASES = {
    "AvgPool": "AveragePooling",
    "GlobalAvgPool": "GlobalAveragePooling",
    "GlobalMaxPool": "GlobalMaxPooling",
    "MaxPool": "MaxPooling",
    "Convolution": "Conv",
    "SeparableConvolution": "SeparableConv",
}
for _alias, _prefix in _ALIASES.items():
    for _name in [name for name in _NAMES if name.startswith(_prefix) and name[len(_prefix)].isdigit()]:
        _NAMES[_alias + _name.removeprefix(_prefix)] = f"{_NAMES[_name]}:{_name}"
_NAMES["GroupQueryAttention"] = f"{_NAMES['GroupedQueryAttention']}:GroupedQueryAttention"
__getattr__, __dir__, __all__ = lazy_names(__name__, _NAMES)
