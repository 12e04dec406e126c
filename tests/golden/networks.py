"""Two networks of one's own, as a user of the command line would write them."""

import torch
from torch import nn


class Plain(nn.Module):
    """Convolutions, one after the other."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
            nn.MaxPool2d(4),
            *(nn.Conv2d(8, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        )
        self.classifier = nn.Linear(16, 10)

    def forward(self, images):
        return self.classifier(self.layers(images).mean((2, 3)))


class Residual(nn.Module):
    """A connection around a convolution, and rectifiers that write over what they read."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=4, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.inner = nn.Conv2d(8, 8, 3, padding=1)
        self.rectifier = nn.ReLU(inplace=True)
        self.classifier = nn.Linear(8, 10)

    def forward(self, images):
        first = self.rectifier(self.norm(self.stem(images)))
        second = self.rectifier(torch.add(first, self.inner(first)))
        return self.classifier(second.mean((2, 3)))
