"""Flips bits in a file, and finds the parts of a SQLite file that a flipped bit can hit."""

PAGE = 4096
_BTREE = {2: "interior", 5: "interior", 10: "leaf", 13: "leaf"}


def parts_of(data):
    """Divide the bytes of a SQLite file into parts.

    Args:
        data: Content of the file.

    Returns:
        Lists of ranges of bytes, by the name of the part: the "header" of the file, the "schema", "interior" and
        "leaf" pages of tables and indexes, the "pointers" at the start of interior and leaf pages, "overflow" pages,
        and the "freelist".
    """
    parts = {name: [] for name in ("header", "schema", "pointers", "interior", "leaf", "overflow", "freelist")}
    parts["header"].append(range(100))
    free = _freelist(data)
    schema = {0} | {page - 1 for page in _children(data[:PAGE], 100)}
    for page in range(len(data) // PAGE):
        start, end = page * PAGE, (page + 1) * PAGE
        kind = _BTREE.get(data[start])
        if page in schema:
            parts["schema"].append(range(start + (100 if page == 0 else 0), end))
        elif page in free:
            parts["freelist"].append(range(start, end))
        elif kind is None:
            parts["overflow"].append(range(start, end))
        else:
            cells = int.from_bytes(data[start + 3 : start + 5])
            parts["pointers"].append(range(start, start + 12 + 2 * cells))
            parts[kind].append(range(start, end))
    return parts


def flipped(data, where, bit):
    """Return a copy of the data in which one bit is flipped.

    Args:
        data: Content of the file.
        where: Offset of the byte.
        bit: Number of the bit, 0 to 7.
    """
    damaged = bytearray(data)
    damaged[where] ^= 1 << bit
    return bytes(damaged)


def _children(page, start):
    """Return the numbers of the pages below an interior page of a table; none for a leaf page."""
    if page[start] != 5:
        return []
    cells = int.from_bytes(page[start + 3 : start + 5])
    offsets = [int.from_bytes(page[start + 12 + 2 * n : start + 14 + 2 * n]) for n in range(cells)]
    return [int.from_bytes(page[offset : offset + 4]) for offset in [start + 8, *offsets]]


def _freelist(data):
    """Return the numbers of unused pages, counted from 0."""
    free, trunk = set(), int.from_bytes(data[32:36])
    while trunk:
        start = (trunk - 1) * PAGE
        leaves = int.from_bytes(data[start + 4 : start + 8])
        free |= {trunk - 1} | {int.from_bytes(data[start + 8 + 4 * n : start + 12 + 4 * n]) - 1 for n in range(leaves)}
        trunk = int.from_bytes(data[start : start + 4])
    return free
