"""What somebody may have meant by a word that nothing here has: another framework's name, or a mistyped one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from cnnspec.wording import nearest, slip

# Folded as `fold` does: conv2d and Conv2D are conv, MaxPool2d and max-pool() are maxpool. Where several names stand,
# the first that is known in the place counts.
_SYNONYMS: dict[str, str] = {
    # kinds
    "affine connected fc fullyconnected gemm innerproduct linear": "dense",
    "convolution convolutional crosscorrelation": "conv",
    "conv2dtranspose convolutiontranspose convtranspose deconv deconvolution": "conv_transpose",
    "transposeconv transposedconv upconv": "conv_transpose",
    "maxpooling": "max_pool",
    "averagepool averagepooling avgpooling meanpool subsample": "avg_pool",
    "gap globalaverage globalaveragepool globalaveragepooling globalavgpooling": "global_avg_pool",
    "gmp globalmaxpooling": "global_max_pool",
    "adaptiveaveragepool adaptivepool": "adaptive_avg_pool",
    "batchnormalization bn": "batch_norm",
    "layernormalization ln": "layer_norm",
    "gn groupnormalization": "group_norm",
    "lrn responsenorm": "local_response_norm",
    "unflatten view": "reshape",
    "movedim swapaxes transpose": "permute",
    "pixelshuffle": "depth_to_space",
    "pixelunshuffle": "space_to_depth",
    "interpolate": "resize",
    "unpool upsampling": "upsample",
    "adaptivemaxpooling": "adaptive_max_pool",
    "lppooling": "lp_pool",
    "mha multiheadattention selfattention": "attention",
    "embedding posembed positionalembedding positionalencoding": "position_embedding",
    "reflectionpad replicationpad zeropad zeropadding": "pad",
    "centercrop cropping": "crop",
    "logistic": "sigmoid",
    "swish": "silu",
    "hardsilu": "hard_swish",
    "lrelu": "leaky_relu",
    "residual shortcut skip sum": "add",
    "mul product": "multiply",
    "difference sub": "subtract",
    "div quotient": "divide",
    "max": "maximum",
    "min": "minimum",
    "average avg": "mean",
    "bmm mm": "matmul",
    "instancenormalization": "instance_norm",
    "rmsnormalization": "rms_norm",
    "channeldropout featuredropout": "spatial_dropout",
    "droppath dropconnect": "stochastic_depth",
    "clamp": "clip",
    "hardtan": "hard_tanh",
    "pow": "power",
    "absolute": "abs",
    # axes
    "frames slices": "depth",
    "seqlen sequencelength samples timesteps": "length",
    "cat concatenate inception merge": "concat",
    "for loop times": "repeat",
    # fields
    "depth filters numfilter numfilters numoutput out outchannels outplanes": "channels",
    "features hidden neurons numclasses numhidden numoutput out outfeatures outputs": "units channels",
    "filtersize k kernelshape kernelsize ksize poolsize window windowsize": "kernel size",
    "border p": "padding",
    "dilationrate": "dilation",
    "group numgroups": "groups",
    "nheads numheads": "heads",
    "blocksize downscalefactor upscalefactor": "block",
    "nearestmode": "rounding",
    "coordinatetransformationmode": "coordinates",
    "cubiccoeffa": "cubic_coeff",
    "usebias": "bias",
    "weights": "weight",
    "act actlayer activationlayer": "activation",
    "batchnorm groupnorm layernorm normalization normlayer": "norm",
    "ceilmode": "rounding",
    "countincludepad": "count_padding",
    "scalefactor": "scale",
    "localsize": "size",
    "size": "kernel scale",
    "outputsize": "size expect",
    "dropoutrate p prob probability ratio": "rate probability",
    "negativeslope": "slope",
    "epsilon": "eps",
    "initializer kernelinitializer": "init",
    "id label": "name",
    "outputshape outshape shape": "expect shape",
    # the top level, blocks and repeats
    "architecture model modules network": "layers",
    "imagesize inputdim inputshape inputsize": "input",
    "version": "cnnspec",
    "arguments parameters variables vars": "params",
    "functions macros modules": "blocks",
    "base include inherits": "extends",
    "classnames labels": "classes",
    "tests": "examples",
    "training": "train",
    "count n num repeats": "times",
    "for foreach": "each",
    "body": "layers",
    # the types of parameters
    "integer whole": "int",
    "double number real": "float",
    "boolean": "bool",
    "str string": "text",
    "array sequence tuple": "list",
    # training
    "binarycrossentropy bce bceloss bcewithlogitsloss": "binary_cross_entropy",
    "multistep multisteplr": "milestones",
    "steplr": "step",
    "cosineannealing cosineannealinglr cosinedecay": "cosine",
    "onecyclelr": "one_cycle",
    "reducelronplateau": "plateau",
    "steps": "milestones at every",
    "milestones": "at",
    "gamma factor": "drop",
    "clipgradnorm clipnorm gradclip gradclipnorm gradientclip gradientclipping maxgradnorm": "clip",
    "stepsize": "every",
    "criterion": "loss",
    "validationsplit valsplit validationfraction": "validation",
    "dataset": "data",
    "lr rate": "learning_rate",
    "batchsize": "batch",
    "decay l2": "weight_decay",
    "maxepochs nbepoch nepochs numepochs": "epochs",
    "lrscheduler scheduler": "schedule",
    "categoricalcrossentropy crossentropyloss nll nllloss softmaxloss sparsecategoricalcrossentropy": "cross_entropy",
    "l2loss mse mseloss": "mean_squared_error",
    "kaiming kaimingnormal he": "he_normal",
    "kaiminguniform": "he_uniform",
    "xavier xavieruniform glorot": "glorot_uniform",
    "xaviernormal": "glorot_normal",
    "lecun": "lecun_normal",
    # augmentation
    "translate randomtranslation": "shift",
    "randomhorizontalflip randomverticalflip mirror": "flip",
    "randomrotation rotation": "rotate",
    "randomaffine randomzoom zoom": "scale",
    "colourjitter": "color_jitter",
    "gray grayscale greyscale randomgrayscale": "grey",
    "cutout randomerasing": "erase",
    "gaussiannoise": "noise",
    "gaussianblur": "blur",
    "choice randomchoice": "one_of",
    "angle": "degrees",
    "sigma stddev": "std",
    "padding": "pad",
}

_INFERRED = "sizes of the input are always inferred: leave it out"
_OPTIMIZER = "the optimizer takes it: `optimizer: {sgd: {learning_rate: 0.1, momentum: 0.9}}`"
_ADVICE: dict[str, str] = {
    **dict.fromkeys(("inchannels", "infeatures", "inplanes", "inputchannels", "inputdim", "inputshape"), _INFERRED),
    "depthwiseconv": "a depthwise `conv` has as many `groups` as input channels",
    "separableconv": "a `conv` with as many `groups` as input channels, then one with `kernel: 1`",
    "identity": "leave it out; in a merge, an empty branch `[]` is the identity",
    "sequential": "write its layers here, or make it one of the `blocks`",
    "paddingmode": "put a `pad` with that `mode` before it, and leave the padding out",
    "aligncorners": "`coordinates: align_corners`, or `half_pixel` for align_corners=False",
    "classtoken": "a `global_avg_pool` behind the last layer takes its place",
    "inplace": "leave it out: the backend decides where results go",
    "keepprob": "`rate` is the probability of zero, 1 − that of being kept",
    "learningrate": _OPTIMIZER,
    "lr": _OPTIMIZER,
    "momentum": _OPTIMIZER,
    "weightdecay": _OPTIMIZER,
    "dataformat": "leave it out: shapes are always channels, height, width",
}


_NAMES: dict[str, list[str]] = {}
for _words, _names in _SYNONYMS.items():
    for _word in _words.split():
        _NAMES.setdefault(_word, []).extend(_names.split())


def suggest(word: str, known: Iterable[str], *, certain: bool = False) -> str | None:
    """The known word that is meant, if that can be told.

    It is certain where it is one of its other names, or a slip of the keyboard away; else it is the nearest.
    """
    return _suggest(word, tuple(known), certain)


@lru_cache(maxsize=4096)  # the trials of fixes ask for the same words again and again
def _suggest(word: str, known: tuple[str, ...], certain: bool) -> str | None:
    if (whole := _WHOLE.get(_bare(word))) in known:
        return whole
    by_fold = {fold(k): k for k in reversed(known)}
    folded = fold(word)
    if folded in by_fold:
        return by_fold[folded]
    named = next((name for name in _NAMES.get(folded, ()) if name in known), None)
    if named or folded in _ADVICE:
        return named
    numbered = by_fold.get(folded.rstrip("0123456789_"))  # conv1, as the layer is called
    slipped = slip(word, known) or by_fold.get(slip(folded, by_fold) or "")
    found = {meant for meant in (numbered, slipped) if meant}
    if len(found) == 1:
        return found.pop()
    return None if certain else nearest(word, known)


def advice(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """What to do about a word that is not known."""
    if written := _punctuation(word):
        return written
    meant = suggest(word, known)
    return f"did you mean `{meant}`?" if meant else _ADVICE.get(fold(word), otherwise)


_MODULES = re.compile(r"(?:(?:tf|torch|keras|flax|linen|nn|layers|functional|F)\.)+(?=\w)")


_WHOLE = {f"dropout{n}d": "spatial_dropout" for n in (1, 2, 3)}
"""Words whose number of axes is no part of the spelling."""


def _bare(word: str) -> str:
    return re.sub(r"\(.*\)$|[-_ .]", "", _MODULES.sub("", word)).casefold()


@lru_cache(maxsize=4096)
def fold(word: str) -> str:
    """Return a word without what its spelling has of a framework: `nn.Conv2d(3, 6)` and `Conv-2D` are both `conv`."""
    bare = _bare(word)
    bare = bare.removeprefix("nn").removesuffix("layer") or bare
    return re.sub("[123]d$", "", bare) or bare


def _punctuation(word: str) -> str:
    """For `dense:10` and `dense：10`, which YAML reads as one word."""
    wide = next((ch for ch in word if unicodedata.east_asian_width(ch) == "F"), None)
    if wide is not None:
        narrow = unicodedata.normalize("NFKC", wide)
        return f"`{wide}` is full-width: write `{narrow}`" + (" and a space" if narrow in ":," else "")
    found = re.fullmatch(r"([A-Za-z_]\w*):(\S+)", word)
    return f"a space follows the colon: `{found[1]}: {found[2]}`" if found else ""
