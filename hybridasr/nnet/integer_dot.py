"""Owns the innermost step of int8 products: sums of products of 16-bit with 8-bit numbers.

What the compiler makes of the plain loop multiplies 32-bit numbers. Written as vectors whose
neighbouring products are added, it becomes the instructions for just that (vpmaddwd, vpdpwssd and
their like on other processors), several times faster. The sums are whole numbers: exact, whatever
the order.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

ROWS = 4  # that share a look at the weights
LANES = 32  # columns that are taken at a time
_WORD = ir.IntType(32)
_WIDE, _HALF = ir.VectorType(_WORD, LANES), ir.VectorType(_WORD, LANES // 2)


@intrinsic
def add_products(typing_context, x, row, weights, output, sums):
    """Fill `sums` with the products of ROWS rows of `x`, from `row` on, and one row of weights.

    x int16 (rows, columns), weights int8 (outputs, columns), both C-contiguous, sums int32 (ROWS,).
    Only whole groups of LANES columns are taken, and there must be one: what is left, the caller
    adds. Nothing looks at bounds.
    """
    del typing_context
    if {array.layout for array in (x, weights, sums)} != {"C"}:
        return None  # as for a wrong type

    def generate(context, builder, signature, args):
        arrays = [context.make_array(signature.args[place])(context, builder, args[place])
                  for place in (0, 2, 4)]
        _write_loop(builder, arrays, args[1], args[3])
        return context.get_dummy_value()

    return types.void(x, row, weights, output, sums), generate


def _write_loop(builder: ir.IRBuilder, arrays: list, row: ir.Value, output: ir.Value) -> None:
    """Write the loop over groups of columns, with one vector of sums a row."""
    x, weights, sums = arrays
    columns = builder.extract_value(x.shape, 1)
    index = columns.type
    weight_row = builder.gep(weights.data, [builder.mul(output, columns)])
    rows = [builder.gep(x.data, [builder.mul(builder.add(row, index(number)), columns)])
            for number in range(ROWS)]
    before = builder.block
    loop, end = (builder.append_basic_block(name) for name in ("products", "products.end"))
    builder.branch(loop)
    builder.position_at_end(loop)
    place, totals = builder.phi(index), [builder.phi(_HALF) for _ in range(ROWS)]
    factors = _load(builder, weight_row, place, 8)
    following = [builder.add(total, _pairs(builder, builder.mul(_load(builder, one, place, 16),
                                                                factors)))
                 for total, one in zip(totals, rows, strict=True)]
    after = builder.add(place, index(LANES))
    for phi, first, later in zip([place, *totals], [index(0)] + [ir.Constant(
            _HALF, [0] * (LANES // 2))] * ROWS, [after, *following], strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(later, loop)
    more = builder.icmp_signed("<=", builder.add(after, index(LANES)), columns)
    builder.cbranch(more, loop, end)
    builder.position_at_end(end)
    while len(following) > 1:  # neighbours are added until a number a row is left
        following = [_pairs(builder, *two) for two in zip(following[::2], following[1::2],
                                                          strict=True)]
    totals_of_rows = following[0]
    while totals_of_rows.type.count > ROWS:
        totals_of_rows = _pairs(builder, totals_of_rows)
    place_of_sums = builder.bitcast(sums.data, totals_of_rows.type.as_pointer())
    builder.store(totals_of_rows, place_of_sums).align = 4


def _load(builder: ir.IRBuilder, start: ir.Value, place: ir.Value, bits: int) -> ir.Value:
    """Return LANES numbers of a row as 32-bit ones."""
    kind = ir.VectorType(ir.IntType(bits), LANES)
    values = builder.load(builder.bitcast(builder.gep(start, [place]), kind.as_pointer()))
    values.align = 1  # rows may begin anywhere
    return builder.sext(values, _WIDE)


def _pairs(builder: ir.IRBuilder, first: ir.Value, second: ir.Value | None = None) -> ir.Value:
    """Add neighbours in one vector or in two, one behind the other."""
    count = first.type.count if second is None else 2 * first.type.count
    second = ir.Constant(first.type, ir.Undefined) if second is None else second
    half = ir.VectorType(_WORD, count // 2)
    return builder.add(*(builder.shuffle_vector(first, second, ir.Constant(
        half, list(range(begin, count, 2)))) for begin in (0, 1)))
