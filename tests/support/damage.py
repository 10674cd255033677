"""Damage to a file, one bit or one cut at a time, and the parts of a SQLite file that it may hit."""

PAGE = 4096
_BTREE = {2: "interior", 5: "interior", 10: "leaf", 13: "leaf"}


def parts_of(data):
    """The bytes of a SQLite file as ranges, by what they are.

    Returns:
        A dict of lists of ranges: the file's "header", the "schema", "interior" and "leaf" pages of tables and
        indexes, the "pointers" at the beginning of these, "overflow" pages and the "freelist".
    """
    found = {name: [] for name in ("header", "schema", "pointers", "interior", "leaf", "overflow", "freelist")}
    found["header"].append(range(100))
    free = _freelist(data)
    schema = {0} | {page - 1 for page in _children(data[:PAGE], 100)}
    for page in range(len(data) // PAGE):
        start, end = page * PAGE, (page + 1) * PAGE
        kind = _BTREE.get(data[start])
        if page in schema:
            found["schema"].append(range(start + (100 if page == 0 else 0), end))
        elif page in free:
            found["freelist"].append(range(start, end))
        elif kind is None:
            found["overflow"].append(range(start, end))
        else:
            cells = int.from_bytes(data[start + 3 : start + 5])
            found["pointers"].append(range(start, start + 12 + 2 * cells))
            found[kind].append(range(start, end))
    return found


def flipped(data, where, bit):
    """The data with one bit of the byte at an offset changed."""
    damaged = bytearray(data)
    damaged[where] ^= 1 << bit
    return bytes(damaged)


def _children(page, start):
    """The pages below an interior page of a table."""
    if page[start] != 5:
        return []
    cells = int.from_bytes(page[start + 3 : start + 5])
    places = [int.from_bytes(page[start + 12 + 2 * n : start + 14 + 2 * n]) for n in range(cells)]
    return [int.from_bytes(page[place : place + 4]) for place in [start + 8, *places]]


def _freelist(data):
    """The numbers of unused pages, from 0."""
    free, trunk = set(), int.from_bytes(data[32:36])
    while trunk:
        start = (trunk - 1) * PAGE
        leaves = int.from_bytes(data[start + 4 : start + 8])
        free |= {trunk - 1} | {int.from_bytes(data[start + 8 + 4 * n : start + 12 + 4 * n]) - 1 for n in range(leaves)}
        trunk = int.from_bytes(data[start : start + 4])
    return free
