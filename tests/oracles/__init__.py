"""Tests against what is not ours: papers' equations and counts, PyTorch's own layers, Keras's.

The three implementations are proved equal elsewhere. A fault that stands in all three is found
here: each design is compared with an equation written anew from its paper, with a published
number, or with another library. Gradients of parameters are compared by name.
"""
