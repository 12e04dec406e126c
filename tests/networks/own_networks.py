"""Small networks as users have them, for images of 3x8x8 unless they say otherwise."""

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


class Of(nn.Module):
    """A network of named layers and a function of itself and the images."""

    def __init__(self, forward, **layers):
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.function = forward

    def forward(self, x):
        return self.function(self, x)


def convolutional(activation=nn.ReLU, wrap=lambda layer: layer, channels=3):
    """Return two convolutions with normalisations, and a head that is called `fc`."""
    body = nn.Sequential(
        *(wrap(nn.Conv2d(channels, 6, 3, padding=1)), nn.BatchNorm2d(6), activation()),
        *(wrap(nn.Conv2d(6, 8, 3, 2, 1)), nn.BatchNorm2d(8), activation()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    return Of(lambda self, x: self.fc(self.body(x)), body=body, fc=nn.Linear(8, 10))


def unnormalised(wrap=lambda layer: layer):
    """Return convolutions without normalisations, whose weights' scale moves the logits."""
    layers = {"a": wrap(nn.Conv2d(3, 6, 3)), "b": wrap(nn.Conv2d(6, 6, 3)), "c": nn.Linear(6, 10)}

    def forward(self, x):
        return self.c(functional.relu(self.b(functional.relu(self.a(x)))).mean((2, 3)))

    return Of(forward, **layers)


def transformer(activation="gelu", dropout=0.0):
    """Return two blocks of attention over four tokens."""
    layer = nn.TransformerEncoderLayer(
        8, 2, 12, dropout=dropout, batch_first=True, activation=activation
    )

    def forward(self, x):
        return self.head(self.blocks(self.patch(x).flatten(2).transpose(1, 2)).mean(1))

    return Of(
        forward,
        patch=nn.Conv2d(3, 8, 4, 4),
        blocks=nn.TransformerEncoder(layer, 2),
        head=nn.Linear(8, 10),
    )


def checkpointed(*, reentrant=None):
    """Return a network whose second half is checkpointed; with None it is plain."""
    layers = {
        name: nn.Sequential(nn.Conv2d(given, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        for name, given in (("a", 3), ("b", 6))
    }

    def forward(self, x):
        x = self.a(x)
        x = self.b(x) if reentrant is None else checkpoint(self.b, x, use_reentrant=reentrant)
        return self.c(x.mean((2, 3)))

    return Of(forward, **layers, c=nn.Linear(6, 10))


def lazy():
    """Return a network whose weights have no shape yet."""
    return nn.Sequential(
        *(nn.LazyConv2d(6, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
        *(nn.Flatten(), nn.LazyLinear(10)),
    )


class OwnRectifier(torch.autograd.Function):
    """A rectifier that autograd does not look into."""

    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(context, gradient):
        (x,) = context.saved_tensors
        return gradient * (x > 0)


class OwnMask(OwnRectifier):
    """The same without any function that is known to rectify."""

    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return x * (x > 0)


def own_function(function):
    """Return a network whose only rectifier is a function of its own."""
    return Of(
        lambda self, x: self.c(function.apply(self.b(self.a(x))).mean((2, 3))),
        a=nn.Conv2d(3, 6, 3, padding=1),
        b=nn.BatchNorm2d(6),
        c=nn.Linear(6, 10),
    )
