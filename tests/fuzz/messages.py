"""Protobuf messages changed at random: in one of their fields, or in their bytes."""

from candor.explain.options import METHODS

__all__ = ["FLOATS", "NAMES", "NUMBERS", "PIECES", "TEXTS", "mutate", "scramble"]

NUMBERS = (0, 1, -1, 2, 7, 50, 255, 2**31 - 1, 2**31, -(2**31), 2**62, -(2**63), 2**63 - 1)
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-300, 1e300, float("nan"), float("inf"), -float("inf"))
TEXTS = (
    *(
        "",
        "0",
        "-1",
        "7-3",
        "nan",
        "1e999",
        "lime",
        "cam,lime",
        "score",
        "use",
        "full",
        "FP32",
        "BYTES",
    ),
    *("image", "logits", "candor.", "candor.lime", "candor.target", "tabby cat", "x" * 5000),
    *("ä\u0000\U0001f600", "photos", "sentences", "1", "-", ",", "true", "grid", "\n"),
)
PIECES = (b"", b"\0", b"\xff" * 8, b"\x89PNG\r\n\x1a\n", b"\3\0\0\0abc", b"a" * 49152)
NAMES = tuple(
    f"candor.{name}"
    for name in (
        *("explain", "layer", "seed", "target", "targets", "output", "explain_output", "cache"),
        *("budget_ms", "trust", "x", *(f"{m}.{o}" for m in METHODS for o in METHODS[m].__slots__)),
    )
)


def mutate(message, rng):
    """Change one field somewhere in the message."""
    if not message.DESCRIPTOR.fields:
        return
    field = rng.choice(list(message.DESCRIPTOR.fields))
    inside = field.message_type
    if inside is not None and inside.GetOptions().map_entry:
        mutate_entry(getattr(message, field.name), field, rng)
    elif inside is not None:
        mutate_inner(getattr(message, field.name), field, rng)
    elif field.is_repeated:
        mutate_list(getattr(message, field.name), field, rng)
    elif rng.random() < 0.2:
        message.ClearField(field.name)
    else:
        setattr(message, field.name, value(field, rng))


def mutate_inner(inner, field, rng):
    """Change a message within a message, or add one to a list of them."""
    if not field.is_repeated:
        inner.SetInParent()
        mutate(inner, rng)
    elif not inner or rng.random() < 0.3:
        mutate(inner.add(), rng)
    else:
        mutate(rng.choice(inner), rng)


def mutate_list(values, field, rng):
    """Take a value out of a list, or add one."""
    if values and rng.random() < 0.5:
        del values[rng.randrange(len(values))]
    else:
        values.append(value(field, rng))


def mutate_entry(entries, field, rng):
    """Change or add an entry of a map."""
    key = rng.choice([*entries, *TEXTS, *NAMES, *NAMES])
    inner = field.message_type.fields_by_name["value"]
    if inner.message_type is not None:
        mutate(entries[key], rng)
    else:
        entries[key] = value(inner, rng)


def value(field, rng):
    """Some value of the field's type."""
    kinds = {9: TEXTS, 12: PIECES, 1: FLOATS, 2: FLOATS, 8: (True, False), 14: range(-1, 20)}
    if field.type == 14 and field.enum_type.is_closed:
        return rng.choice(field.enum_type.values).number
    if field.type in kinds:
        return rng.choice(kinds[field.type])
    bits, signed = {3: (64, 1), 4: (64, 0), 5: (32, 1), 13: (32, 0)}[field.type]
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return rng.choice([number for number in NUMBERS if low <= number <= high])


def scramble(payload, rng):
    """Change the bytes of a message."""
    data = bytearray(payload)
    # The head holds the structure; most of the rest is one tensor.
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(min(len(data), 400) or 1)
        match rng.randrange(3):
            case 0:
                data[at : at + 1] = rng.randbytes(1)
            case 1:
                del data[at : at + rng.randint(1, 9)]
            case 2:
                data[at:at] = rng.randbytes(rng.randint(1, 9))
    return bytes(data)
