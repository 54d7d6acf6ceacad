"""Rules of operators that rearrange, repeat or join values."""

from candor.autodiff.emitter import Emitter
from candor.autodiff.rules.axial import repeated
from candor.autodiff.rules.divide import divided
from candor.autodiff.rules.extents import (
    extent,
    reshape_like,
    unbroadcast,
    zeros_like,
)
from candor.autodiff.rules.table import ALL, Site, vjp

__all__: list[str] = []


@vjp("Flatten", "Reshape", "Squeeze", "Unsqueeze")
def reshape(op: Emitter, at: Site) -> list[str]:
    return [reshape_like(op, at.g, at.x)]


@vjp("Transpose")
def transpose(op: Emitter, at: Site) -> list[str]:
    rank = len(at.shape(0))
    perm = at.integers("perm", tuple(reversed(range(rank))))
    return [op.Transpose(at.g, perm=[perm.index(axis) for axis in range(rank)])]


@vjp("Expand")
def expand(op: Emitter, at: Site) -> list[str]:
    return [unbroadcast(op, at.g, at.x)]


@vjp("Tile")
def tile(op: Emitter, at: Site) -> list[str]:
    """Sum over the copies, after giving each axis one of its own for them."""
    axes, known = range(len(at.shape(0))), at.constant(1)
    repeats = [
        op.Gather(at.node.input[1], [axis], axis=0) if known is None else [int(known[axis])]
        for axis in axes
    ]
    parts = [part for axis in axes for part in (repeats[axis], extent(op, at.x, axis))]
    copies = op.Reshape(at.g, op.Concat(*parts, axis=0))
    return [op.ReduceSum(copies, [2 * axis for axis in axes], keepdims=0)]


@vjp("Concat", operands=ALL)
def concat(op: Emitter, at: Site) -> list[str]:
    axis = at.integer("axis", 0)
    names = list(at.node.input)
    if len(names) == 1:
        return [at.g]
    widths = [extent(op, name, axis) for name in names]
    known = [width[0] for width in widths if isinstance(width, list)]
    if axis == 1 and len(known) == len(names) and (parts := divided(op, at.g, known)):
        return parts
    sizes = known if len(known) == len(names) else op.Concat(*widths, axis=0)
    return list(op.Split(at.g, sizes, axis=axis, outputs=len(names)))


@vjp("Split")
def split(op: Emitter, at: Site) -> list[str]:
    parts = [
        zeros_like(op, part) if cotangent is None else cotangent
        for part, cotangent in zip(at.node.output, at.cotangents, strict=True)
    ]
    return [op.Concat(*parts, axis=at.integer("axis", 0))]


@vjp("Pad")
def pad(op: Emitter, at: Site) -> list[str]:
    """Cut the padding off again, or fill with zeros what a negative one had cut off."""
    if at.text("mode", "constant") != "constant":
        return [repeated(op, at)]
    axes = at.operand(3)
    return [op.Pad(at.g, op.Neg(at.node.input[1]), None, axes)]


@vjp("DepthToSpace")
def depth_to_space(op: Emitter, at: Site) -> list[str]:
    if at.text("mode", "DCR") == "DCR":
        return [op.SpaceToDepth(at.g, blocksize=at.integer("blocksize", 1))]
    _, c, h, w = at.shape(0)
    block = at.integer("blocksize", 1)
    if not (isinstance(c, int) and isinstance(h, int) and isinstance(w, int)):
        raise at.refusal("mode 'CRD' needs fixed channels, height and width")
    blocks = op.Reshape(at.g, [-1, c // block**2, h, block, w, block])
    return [reshape_like(op, op.Transpose(blocks, perm=[0, 1, 3, 5, 2, 4]), at.x)]


@vjp("SpaceToDepth")
def space_to_depth(op: Emitter, at: Site) -> list[str]:
    return [op.DepthToSpace(at.g, blocksize=at.integer("blocksize", 1), mode="DCR")]


@vjp("CumSum")
def cumsum(op: Emitter, at: Site) -> list[str]:
    """Sum from the other end."""
    return [
        op.CumSum(
            at.g,
            at.node.input[1],
            exclusive=at.integer("exclusive", 0),
            reverse=1 - at.integer("reverse", 0),
        )
    ]
