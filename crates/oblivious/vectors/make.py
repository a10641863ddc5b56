#!/usr/bin/env python3
"""Test vectors of the ring engine, computed from docs/oblivious-encoding.md alone.

    python3 make.py            write set*.json beside this file
    python3 make.py --check    compare them with what would be written; exit 1 if they differ

Needs Python 3.9 or newer and nothing else. It shares no code with the crate: polynomials are lists of Python
integers, multiplied as whole numbers and never transformed; ChaCha20 and the packing of bits are written here.
README.md beside this file explains the JSON. "S 3.2" below is section 3.2 of the document.
"""

import concurrent.futures
import hashlib
import json
import math
import operator
import os
import sys
from fractions import Fraction

HERE = os.path.dirname(os.path.abspath(__file__))
LANES = 16  # S 1.3: values in a row
MOST_INTERLEAVED = 2048  # S 3.1


# ---------------------------------------------------------------------------------------------- parameter sets (S 2)

class Set:
    """One row of the table of S 2."""

    def __init__(self, number, n, primes, plaintext_bits, eta, hint_drop, answer_bits, most_polys):
        self.number, self.n, self.primes, self.plaintext_bits = number, n, primes, plaintext_bits
        self.eta, self.hint_drop, self.answer_bits, self.most_polys = eta, hint_drop, answer_bits, most_polys
        self.q = math.prod(primes)
        self.p = 1 << plaintext_bits
        self.delta = self.q // self.p
        self.prime_bits = max(primes).bit_length()
        self.hint_bits = (self.q - 1).bit_length() - hint_drop
        assert all(prime % (2 * n) == 1 for prime in primes)
        # A product of polynomials has n products of two residues of q in each coefficient; sums of up to
        # `most_polys` of them are taken before anything is reduced.
        self.limb = (2 * self.q.bit_length() + n.bit_length() + most_polys.bit_length() + 7) // 8

    def figures(self):
        return {
            "number": self.number, "n": self.n, "primes": self.primes, "plaintext_bits": self.plaintext_bits,
            "eta": self.eta, "hint_drop": self.hint_drop, "hint_bits": self.hint_bits,
            "answer_bits": self.answer_bits, "most_polys": self.most_polys,
        }


SETS = [
    Set(1, 2048, [134_176_769, 134_111_233], 19, 21, 24, 21, 1024),
    Set(2, 4096, [134_176_769, 134_111_233, 134_012_929], 32, 21, 37, 34, 1024),
]


# ------------------------------------------------------------------------------------------------------ deterministic bytes

def stream(label, length):
    """The first bytes of SHA-256(label, 0, counter as u64 little endian), counter = 0, 1, ..."""
    out = bytearray()
    counter = 0
    while len(out) < length:
        out += hashlib.sha256(label.encode() + b"\0" + counter.to_bytes(8, "little")).digest()
        counter += 1
    return bytes(out[:length])


def digest(data):
    """How long byte strings are written in the JSON."""
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "head": data[:64].hex()}


# ---------------------------------------------------------------------------------------------------- bit strings (S 1.3)

def pack(values, width):
    """Eight values are a whole number of bytes; everything packed here is a multiple of eight values."""
    assert len(values) % 8 == 0
    groups = []
    for at in range(0, len(values), 8):
        group = 0
        for position, value in enumerate(values[at:at + 8]):
            assert 0 <= value < 1 << width
            group |= value << (position * width)
        groups.append(group.to_bytes(width, "little"))
    return b"".join(groups)


def unpack(data, width, count):
    """The first `count` values; bits beyond the data are zero."""
    whole = int.from_bytes(data, "little")
    text = whole.to_bytes((count * width + 7) // 8 + 8, "little")
    mask = (1 << width) - 1
    values = []
    for index in range(count):
        bit = index * width
        word = int.from_bytes(text[bit // 8:bit // 8 + 8], "little")
        values.append(word >> (bit % 8) & mask)
    return values


# ------------------------------------------------------------------------------------------ polynomials modulo X^n + 1, q

def whole(params, poly):
    """The value of a polynomial at 2^(8 limb): coefficients side by side in one number."""
    return int.from_bytes(b"".join([c.to_bytes(params.limb, "little") for c in poly]), "little")


def reduced(params, number):
    """The polynomial modulo X^n + 1 and q whose product or sum of products `number` is."""
    n, limb, q = params.n, params.limb, params.q
    data = number.to_bytes(2 * n * limb, "little")
    at = [int.from_bytes(data[i * limb:(i + 1) * limb], "little") for i in range(2 * n)]
    return [(at[k] - at[n + k]) % q for k in range(n)]


def turned(params, poly, m):
    """The numbers whose products with another polynomial's coefficients, in order, add up to coefficient m of the product
    modulo X^n + 1: for the other's X^k the coefficient of X^(m - k), or less that of X^(n + m - k)."""
    return poly[m::-1] + [-c for c in poly[:m:-1]]


def inner(a, b):
    return sum(map(operator.mul, a, b))


def from_residues(params, residues):
    """Coefficients modulo q from one list of residues for each prime."""
    cofactors = []
    for prime in params.primes:
        rest = params.q // prime
        cofactors.append(rest * pow(rest, -1, prime))
    return [sum(r * c for r, c in zip(column, cofactors)) % params.q for column in zip(*residues)]


# --------------------------------------------------------------------------------------------- public polynomials (S 3.3)

def chacha20_words(key, nonce):
    """The key stream as 32-bit words: 20 rounds, 64-bit counter from 0, 64-bit nonce."""
    constant = [int.from_bytes(b"expand 32-byte k"[i:i + 4], "little") for i in range(0, 16, 4)]
    fixed = constant + [int.from_bytes(key[i:i + 4], "little") for i in range(0, 32, 4)]
    counter = 0
    mask = 0xFFFFFFFF
    rounds = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
              (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]
    while True:
        start = fixed + [counter & mask, counter >> 32, nonce & mask, nonce >> 32]
        x = list(start)
        for _ in range(10):
            for a, b, c, d in rounds:
                x[a] = (x[a] + x[b]) & mask
                t = x[d] ^ x[a]
                x[d] = (t << 16 | t >> 16) & mask
                x[c] = (x[c] + x[d]) & mask
                t = x[b] ^ x[c]
                x[b] = (t << 12 | t >> 20) & mask
                x[a] = (x[a] + x[b]) & mask
                t = x[d] ^ x[a]
                x[d] = (t << 8 | t >> 24) & mask
                x[c] = (x[c] + x[d]) & mask
                t = x[b] ^ x[c]
                x[b] = (t << 7 | t >> 25) & mask
        for word, added in zip(x, start):
            yield (word + added) & mask
        counter += 1


def public_residues(params, seed, j):
    """a_j, one list of n residues for each prime."""
    words = chacha20_words(seed, j)
    mask = (1 << params.prime_bits) - 1
    residues = []
    for prime in params.primes:
        column = []
        while len(column) < params.n:
            residue = next(words) & mask
            if residue < prime:
                column.append(residue)
        residues.append(column)
    return residues


# ---------------------------------------------------------------------------------------- generations and stacks (S 3)

class Generation:
    """Public figures and slots of one generation."""

    def __init__(self, params, slots, slot_bytes, t, label):
        self.params, self.slots, self.slot_bytes, self.t, self.label = params, slots, slot_bytes, t, label
        self.seed = stream(label + "/seed", 32)
        self.polys = -(-slots // t)
        self.symbols = -(-8 * slot_bytes // params.plaintext_bits)
        self.rows = -(-self.symbols // LANES)
        self.block_rows = params.n // t
        self.blocks = -(-self.rows // self.block_rows)

    def slot(self, index):
        return stream(f"{self.label}/slot/{index}", self.slot_bytes)

    def digest(self):
        """S 3.4."""
        data = b"harpocrates/1/oblivious-generation\0" + self.params.number.to_bytes(2, "little")
        for figure in (self.slots, self.slot_bytes, self.t):
            data += figure.to_bytes(4, "little")
        return hashlib.sha256(data + self.seed).digest()

    def compute(self):
        """Public polynomials, coefficients and the hint."""
        params = self.params
        self.residues = [public_residues(params, self.seed, j) for j in range(self.polys)]
        self.public = [whole(params, from_residues(params, residues)) for residues in self.residues]
        self.coefficients = self.encode()
        # S 5.1
        self.hint = {}
        for c in range(self.blocks):
            for chunk in range(LANES):
                total = sum(
                    self.public[j] * whole(params, [x % params.q for x in self.coefficients[j, c, chunk]])
                    for j in range(self.polys)
                )
                self.hint[c, chunk] = [x >> params.hint_drop for x in reduced(params, total)]

    def encode(self):
        """S 3.2: {(j, c, chunk): coefficients of D}."""
        params, t = self.params, self.t
        half = params.p // 2
        found = {}
        for j in range(self.polys):
            held = {
                i: unpack(self.slot(j * t + i), params.plaintext_bits, self.rows * LANES)
                for i in range(t) if j * t + i < self.slots
            }
            for c in range(self.blocks):
                for chunk in range(LANES):
                    poly = [0] * params.n
                    for i, symbols in held.items():
                        for k in range(self.block_rows):
                            row = c * self.block_rows + k
                            if row < self.rows:
                                poly[k * t + i] = symbols[LANES * row + chunk] - half
                    found[j, c, chunk] = poly
        return found

    def hint_bytes(self):
        """S 5.2."""
        out = [header(b"HPOH", self.params, self.digest())]
        for c in range(self.blocks):
            values = [self.hint[c, chunk][k] for k in range(self.params.n) for chunk in range(LANES)]
            out.append(pack(values, self.params.hint_bits))
        return b"".join(out)

    def sums(self, query, rows):
        """S 6.1: the first `rows` rows of kept coefficients of the sum of b_j D_j, in the order of the answer's rows."""
        kept = [[0] * LANES for _ in range(rows)]
        for j, b in enumerate(query):
            if any(b):
                for k in range(min(rows, self.block_rows)):
                    factors = turned(self.params, b, k * self.t)
                    for row in range(k, rows, self.block_rows):
                        for chunk in range(LANES):
                            kept[row][chunk] += inner(factors, self.coefficients[j, row // self.block_rows, chunk])
        return [value % self.params.q for row in kept for value in row]


def header(magic, params, name):
    """S 4.1, 5.2, 6.3."""
    return magic + (1).to_bytes(2, "little") + params.number.to_bytes(2, "little") + name


def stack_digest(generations):
    """S 3.5."""
    data = b"harpocrates/1/oblivious-stack\0" + len(generations).to_bytes(4, "little")
    return hashlib.sha256(data + b"".join(g.digest() for g in generations)).digest()


def acceptable(params, polys, generations):
    """S 8.1 to 8.4: whether a bundle of 2^27 symbols fails with a probability of at most 2^-40."""
    variance = params.eta / 2 * params.n * polys * params.p ** 2 / 12
    variance += generations * params.n * (2 / 3) * 4 ** params.hint_drop / 12
    limit = params.q / (2 * params.p) - params.q / 2 ** (params.answer_bits + 1) - params.p
    return 27 + 1 - limit * limit / (2 * variance) * math.log2(math.e) <= -40


# -------------------------------------------------------------------------------------------------------- queries (S 4)

def bytes_of(pieces):
    """The randomness that a list of pieces stands for."""
    out = b""
    for piece in pieces:
        if "stream" in piece:
            out += stream(piece["stream"], piece["bytes"])
        else:
            out += bytes.fromhex(piece["hex"]) * piece["repeat"]
    return out


class Drawn:
    """S 4.4: what a query's randomness becomes."""

    def __init__(self, params, polys, randomness):
        n, eta = params.n, params.eta
        each = -(-2 * eta // 8)
        assert len(randomness) == drawn_bytes(params, polys)
        self.secret = [
            (int.from_bytes(randomness[8 * k:8 * k + 8], "little") * 3 >> 64) - 1 for k in range(n)
        ]
        mask = (1 << eta) - 1
        self.errors = []
        at = 8 * n
        for _ in range(polys):
            poly = []
            for _ in range(n):
                word = int.from_bytes(randomness[at:at + each], "little")
                poly.append(bin(word & mask).count("1") - bin(word >> eta & mask).count("1"))
                at += each
            self.errors.append(poly)


def drawn_bytes(params, polys):
    """How many bytes a query draws."""
    return 8 * params.n + polys * params.n * (-(-2 * params.eta // 8))


def selection(params, t, slot):
    """Delta m_j for the polynomial that holds `slot`, as {coefficient: value}."""
    i = slot % t
    return {0: params.delta} if i == 0 else {params.n - i: -params.delta}


def make_query(stack, choice, drawn):
    """S 4.2: all b_j, generation by generation. choice is (generation, slot) or None."""
    params = stack.params
    secret = whole(params, [c % params.q for c in drawn.secret])
    query = []
    for number, generation in enumerate(stack.generations):
        for j in range(generation.polys):
            errors = drawn.errors[len(query)]
            b = [(x + e) % params.q for x, e in zip(reduced(params, generation.public[j] * secret), errors)]
            if choice is not None and choice[0] == number and choice[1] // generation.t == j:
                for k, value in selection(params, generation.t, choice[1]).items():
                    b[k] = (b[k] + value) % params.q
            query.append(b)
    return query


def query_bytes(stack, query):
    """S 4.1."""
    out = [header(b"HPOQ", stack.params, stack.digest)]
    for b in query:
        for prime in stack.params.primes:
            out.append(pack([x % prime for x in b], stack.params.prime_bits))
    return b"".join(out)


# ------------------------------------------------------------------------------------------- answers and decoding (S 6, 7)

def fraction(params, x):
    """S 6.2: about 2^64 x / q modulo 2^64."""
    total = 0
    for prime in params.primes:
        c = x * pow(params.q // prime, -1, prime) % prime
        total += 2 ** 64 // prime * c + (2 ** 96 // prime % 2 ** 32 * c >> 32)
    return total % 2 ** 64


def rounded(params, x):
    """S 6.2."""
    bits = params.answer_bits
    return (fraction(params, x) + (1 << (63 - bits))) % 2 ** 64 >> (64 - bits)


def primitive_root(prime, n):
    """S 3.2: psi."""
    for g in range(2, prime):
        psi = pow(g, (prime - 1) // (2 * n), prime)
        if pow(psi, n, prime) == prime - 1:
            return psi
    raise ValueError("there is none")


def partial_answer_bytes(stack, number, kept):
    """S 6.4, for the generation `number` alone; `kept` are all coefficients of all its blocks."""
    params, generation = stack.params, stack.generations[number]
    points = generation.block_rows
    bits = points.bit_length() - 1
    marks = bytes(int(index == number) for index in range(len(stack.generations)))
    out = [header(b"HPOP", params, stack.digest), marks]
    for c in range(generation.blocks):
        block = kept[c * points * LANES:(c + 1) * points * LANES]
        for prime in params.primes:
            psi = primitive_root(prime, params.n)
            values = []
            for i in range(points):
                turn = int(format(i, f"0{bits}b")[::-1], 2) if bits else 0
                # The root of the subring: the t-th power of psi^(2 rev(i t) + 1) and of its t - 1 neighbours.
                root = pow(psi, generation.t * (2 * turn + 1), prime)
                powers = [pow(root, k, prime) for k in range(points)]
                for chunk in range(LANES):
                    values.append(generation.t * inner(powers, block[chunk::LANES]) % prime)
            out.append(pack(values, params.prime_bits))
    return b"".join(out)


def answer_bytes(stack, values):
    """S 6.3."""
    values = values[:stack.symbols] + [0] * (len(values) - stack.symbols)
    return header(b"HPOA", stack.params, stack.digest) + pack(values, stack.params.answer_bits), values


def decode(stack, secret, values):
    """S 5.3 and 7, in exact arithmetic."""
    params, q = stack.params, stack.params.q
    first = stack.generations[0]
    symbols = []
    for row in range(first.rows):
        factors = turned(params, secret, row % first.block_rows * first.t)
        for chunk in range(LANES):
            masked = inner(factors, stack.hints[row // first.block_rows, chunk])
            phase = Fraction(values[LANES * row + chunk], 1 << params.answer_bits) - Fraction(masked % q, q)
            symbols.append((round_half_up(phase * params.p) + params.p // 2) % params.p)
    return pack(symbols, params.plaintext_bits)[:first.slot_bytes]


def round_half_up(x):
    return math.floor(x + Fraction(1, 2))


# ------------------------------------------------------------------------------------------------------------- vectors

class Stack:
    """A stack whose every object is computed."""

    def __init__(self, params, name, slot_bytes, t, slots):
        self.params, self.name = params, name
        self.label = f"set {params.number}/{name}"
        self.generations = [
            Generation(params, count, slot_bytes, t, f"{self.label}/generation {number}")
            for number, count in enumerate(slots)
        ]
        self.polys = sum(g.polys for g in self.generations)
        assert self.polys <= params.most_polys and acceptable(params, self.polys, len(slots))
        self.symbols = self.generations[0].symbols
        self.small = self.generations[0].block_rows <= 64
        self.digest = stack_digest(self.generations)
        for generation in self.generations:
            generation.compute()
        # S 5.3
        drop = params.hint_drop
        self.hints = {
            place: [
                sum((v << drop) + (1 << (drop - 1)) for v in column)
                for column in zip(*[g.hint[place] for g in self.generations])
            ]
            for place in self.generations[0].hint
        }

    def vectors(self, choices):
        first = self.generations[0]
        queries = [self.probe()]
        for choice in choices:
            queries.append(self.exchange(choice))
        queries += [self.plain((number, g.slots - 1)) for number, g in enumerate(self.generations)]
        queries += [self.edge(name, step) for name, step in [("at", 0), ("below", -1)]]
        return {
            "name": self.name,
            "slot_bytes": first.slot_bytes,
            "interleave": first.t,
            "digest": self.digest.hex(),
            "generations": [self.describe(g) for g in self.generations],
            "queries": queries,
            "bad": self.bad(),
        }

    def describe(self, generation):
        params = self.params
        width = (params.plaintext_bits + 7) // 8
        order = [(j, c, chunk) for j in range(generation.polys) for c in range(generation.blocks)
                 for chunk in range(LANES)]
        coefficients = b"".join(
            (c % 256 ** width).to_bytes(width, "little") for place in order for c in generation.coefficients[place]
        )
        self_hint = generation.hint_bytes()
        return {
            "slots": generation.slots,
            "seed": generation.seed.hex(),
            "slots_stream": generation.label + "/slot/",
            "digest": generation.digest().hex(),
            "public": [
                digest(b"".join(pack(column, params.prime_bits) for column in residues))
                for residues in generation.residues
            ],
            "coefficients": digest(coefficients),
            "hint": digest(self_hint),
        }

    def exchange(self, choice):
        """One query from drawn randomness to the decoded slot."""
        name = "dummy" if choice is None else f"generation {choice[0]} slot {choice[1]}"
        randomness = [{"stream": f"{self.label}/query/{name}", "bytes": drawn_bytes(self.params, self.polys)}]
        drawn = Drawn(self.params, self.polys, bytes_of(randomness))
        query = make_query(self, choice, drawn)
        sums, values, answer = self.answered(query)
        partial = self.partial_answers(sums)
        if choice is None:
            self.dummy = {"query": query_bytes(self, query), "answer": answer}
            if partial:
                self.dummy["partial answer"] = partial[0]
        slot = decode(self, drawn.secret, values)
        if choice is None:
            symbols = [self.params.p // 2] * (self.generations[0].rows * LANES)
            assert slot == pack(symbols, self.params.plaintext_bits)[:len(slot)], "a dummy decodes to p / 2"
        else:
            assert slot == self.generations[choice[0]].slot(choice[1]), f"{name} does not decode"
        return {
            "name": name,
            "choice": None if choice is None else {"generation": choice[0], "slot": choice[1]},
            "randomness": randomness,
            "secret": digest(bytes(c % 256 for c in drawn.secret)),
            "query": digest(query_bytes(self, query)),
            "partial_sums": [
                digest(b"".join(x.to_bytes(16, "little") for x in part[:len(values)])) for part in sums
            ],
            "partial_answers": None if partial is None else [digest(data) for data in partial],
            "answer": digest(answer),
            "slot": digest(slot),
        }

    def probe(self):
        """A dummy with s = 1 and no errors: its polynomials are the a_j themselves."""
        n = self.params.n
        randomness = [
            {"hex": "ff" * 8, "repeat": 1},
            {"hex": "0000000000000080", "repeat": n - 1},
            {"hex": "00", "repeat": drawn_bytes(self.params, self.polys) - 8 * n},
        ]
        drawn = Drawn(self.params, self.polys, bytes_of(randomness))
        assert drawn.secret == [1] + [0] * (n - 1)
        query = make_query(self, None, drawn)
        return {
            "name": "public polynomials as a query",
            "choice": None,
            "randomness": randomness,
            "query": digest(query_bytes(self, query)),
        }

    def plain(self, choice):
        """Delta m_j without s and errors, which anybody could read: its answer shows the coefficients of D."""
        generation, slot = choice
        params, t = self.params, self.generations[generation].t
        position = sum(g.polys for g in self.generations[:generation]) + slot // t
        name = f"in the clear: generation {generation} slot {slot}"
        values, vector = self.clear(name, position, selection(params, t, slot))
        up = params.answer_bits - params.plaintext_bits
        drops = [(v >> up) + params.p // 2 & params.p - 1 for v in values[:self.symbols]]
        expected = unpack(self.generations[generation].slot(slot), params.plaintext_bits, self.symbols)
        assert drops == expected and all(v % (1 << up) == 0 for v in values)
        return vector

    def edge(self, name, step):
        """A query in the clear whose first kept coefficient is the least that rounds up exactly, or one less. S 6.2 may
        round it down."""
        params = self.params
        first = self.generations[0].coefficients[0, 0, 0][0]
        assert math.gcd(first, params.q) == 1
        x = -(-(2 * 1000 + 1) * params.q // (2 << params.answer_bits)) + step
        exact = round_half_up(Fraction(x << params.answer_bits, params.q))
        assert exact == 1001 + step
        values, vector = self.clear(f"in the clear: {name} the edge of rounding", 0, {0: x * pow(first, -1, params.q)})
        assert values[0] in (exact, exact - 1)
        return vector

    def clear(self, name, position, coefficients):
        """A query that is zero but for some coefficients of one polynomial."""
        params = self.params
        query = [[0] * params.n for _ in range(self.polys)]
        for k, value in coefficients.items():
            query[position][k] = value % params.q
        data = query_bytes(self, query)
        _, values, answer = self.answered(query)
        zero = header(b"HPOQ", params, self.digest)
        changes = []
        for k in coefficients:
            for index, prime in enumerate(params.primes):
                bit = 8 * len(zero) + ((position * len(params.primes) + index) * params.n + k) * params.prime_bits
                changes.append(set_bits(bit, params.prime_bits, query[position][k] % prime))
        assert mutate(zero + bytes(len(data) - len(zero)), changes) == data
        return values, {"name": name, "from_zeros": changes, "query": digest(data), "answer": digest(answer)}

    def answered(self, query):
        """Partial sums of all generations, the answer's values and its bytes. The sums have all rows of their blocks where
        blocks are small, and else those of the answer."""
        first, sums, at = self.generations[0], [], 0
        rows = first.blocks * first.block_rows if self.small else first.rows
        for generation in self.generations:
            sums.append(generation.sums(query[at:at + generation.polys], rows))
            at += generation.polys
        columns = list(zip(*sums))[:first.rows * LANES]
        values = [rounded(self.params, sum(column) % self.params.q) for column in columns]
        data, values = answer_bytes(self, values)
        return sums, values, data

    def partial_answers(self, sums):
        """The partial answer of each generation; none where a block has too many coefficients to evaluate one by one."""
        if not self.small:
            return None
        return [partial_answer_bytes(self, number, kept) for number, kept in enumerate(sums)]

    # ------------------------------------------------------------------------------------------------- bad cases (S 1.4)

    def bad(self):
        params = self.params
        first, last = self.generations[0], self.generations[-1]
        other = {number: g.digest() for number, g in enumerate(self.generations)}
        head = 40
        residues = len(params.primes) * params.n * self.polys
        cases = []
        names = {**self.dummy, "hint": first.hint_bytes()}
        for kind, good in names.items():
            magic = {"query": "HPOA", "answer": "HPOP", "hint": "HPOQ", "partial answer": "HPOA"}[kind]
            for name, changes, expect in [
                ("nothing at all", [truncate(0)], "Malformed"),
                ("ends within its header", [truncate(head - 1)], "Malformed"),
                ("header alone", [truncate(head)], "Malformed"),
                ("one byte short", [truncate(len(good) - 1)], "Malformed"),
                ("one byte long", [extend("00")], "Malformed"),
                ("twice", [extend(good[:64].hex())], "Malformed"),
                ("magic of another kind", [put(0, magic.encode())], "Malformed"),
                ("magic in lower case", [put(0, good[:4].lower())], "Malformed"),
                ("version 0", [put(4, b"\0\0")], "Malformed"),
                ("version 2", [put(4, b"\2\0")], "Malformed"),
                ("version big endian", [put(4, b"\0\1")], "Malformed"),
                ("parameter set 0", [put(6, b"\0\0")], "WrongStack"),
                ("parameter set 999", [put(6, (999).to_bytes(2, "little"))], "WrongStack"),
                ("digest of nothing", [put(8, bytes(32))], "WrongStack"),
                ("digest's first bit", [put(8, bytes([good[8] ^ 1]))], "WrongStack"),
                ("digest's last bit", [put(39, bytes([good[39] ^ 128]))], "WrongStack"),
            ]:
                cases.append(self.case(kind, name, good, changes, expect))
        # S 1.4: a residue that is not below its prime.
        for index, name in [(0, "first"), (params.n - 1, "last of the first prime"), (residues - 1, "last")]:
            prime = params.primes[index // params.n % len(params.primes)]
            bit = 8 * head + index * params.prime_bits
            for value, what in [(prime, "its prime"), ((1 << params.prime_bits) - 1, "all ones")]:
                changes = [set_bits(bit, params.prime_bits, value)]
                cases.append(self.case("query", f"{name} residue is {what}", names["query"], changes, "Malformed"))
        changes = [set_bits(8 * head, params.prime_bits, params.primes[0] - 1)]
        cases.append(self.case("query", "first residue is its prime less one", names["query"], changes, None))
        # A hint's value out of range: [0, (q - 1) >> drop].
        largest = params.q - 1 >> params.hint_drop
        values = first.blocks * params.n * LANES
        for index, name in [(0, "first"), (values - 1, "last")]:
            bit = 8 * head + index * params.hint_bits
            ones = (1 << params.hint_bits) - 1
            good = names["hint"]
            if largest < ones:
                changes = [set_bits(bit, params.hint_bits, largest + 1)]
                cases.append(self.case("hint", f"{name} value is too large by one", good, changes, "Malformed"))
                changes = [set_bits(bit, params.hint_bits, ones)]
                cases.append(self.case("hint", f"{name} value is all ones", good, changes, "Malformed"))
            changes = [set_bits(bit, params.hint_bits, largest)]
            cases.append(self.case("hint", f"{name} value is the largest", good, changes, None))
        if self.small:
            cases += self.bad_partial_answers(names["partial answer"])
        if len(self.generations) > 1:
            name = "digest of the stack's last generation"
            cases.append(self.case("hint", name, names["hint"], [put(8, other[len(other) - 1])], "WrongStack"))
            cases.append(self.case("hint", "of another generation, whole", last.hint_bytes(), [], "WrongStack", len(other) - 1))
        cases.append(self.case("answer", "digest of a generation", names["answer"], [put(8, other[0])], "WrongStack"))
        # Values after the slot's last symbol.
        rows = first.rows * LANES
        for index, name in [(self.symbols, "first value of the padding"), (rows - 1, "last value of the padding")]:
            if self.symbols <= index:
                bit = 8 * head + index * params.answer_bits
                cases.append(self.case("answer", f"{name} is not zero", names["answer"],
                                       [set_bits(bit, params.answer_bits, 1)], "Malformed"))
        return {
            "objects": cases,
            "choices": [
                {"generation": 0, "slot": first.slots, "expect": "NoSuchSlot"},
                {"generation": len(self.generations) - 1, "slot": 0xFFFFFFFF, "expect": "NoSuchSlot"},
                {"generation": len(self.generations), "slot": 0, "expect": "NoSuchSlot"},
            ],
            "sums": [
                {"generations": [0, 0], "expect": "AddedTwice"},
                {"generations": list(range(len(self.generations))) + [0], "expect": "AddedTwice"},
                {"generations": list(range(len(self.generations) - 1)), "expect": "Incomplete"},
            ],
        }

    def bad_partial_answers(self, good):
        params, first = self.params, self.generations[0]
        start = 40 + len(self.generations)
        residues = first.blocks * len(params.primes) * first.block_rows * LANES
        cases = []
        for name, at in [("first", 40), ("last", start - 1)]:
            for value in (2, 255):
                name_of = f"{name} generation is marked with {value}"
                cases.append(self.case("partial answer", name_of, good, [put(at, bytes([value]))], "Malformed"))
        cases.append(self.case("partial answer", "first generation is not held", good, [put(40, b"\0")], None))
        for name, index in [("first", 0), ("last", residues - 1)]:
            prime = params.primes[index // (first.block_rows * LANES) % len(params.primes)]
            for value, expect in [(prime, "Malformed"), ((1 << params.prime_bits) - 1, "Malformed"), (prime - 1, None)]:
                changes = [set_bits(8 * start + index * params.prime_bits, params.prime_bits, value)]
                cases.append(self.case("partial answer", f"{name} residue is {value}", good, changes, expect))
        return cases

    def case(self, kind, name, good, changes, expect, of=0):
        """`good` is the dummy's query or answer, or the hint or partial answer of generation `of`; hints are read as
        generation 0's."""
        case = {"object": kind, "name": name, "changes": changes,
                "bytes": digest(mutate(good, changes)), "expect": expect}
        if of:
            case["of"] = of
        return case


# ------------------------------------------------------------------------------------------------------------ changes

def truncate(length):
    return {"truncate": length}


def extend(text):
    return {"extend": text}


def put(at, data):
    return {"at": at, "hex": data.hex()}


def set_bits(bit, width, value):
    return {"bit": bit, "width": width, "value": value}


def mutate(data, changes):
    """Applies changes in order."""
    data = bytearray(data)
    for change in changes:
        if "truncate" in change:
            data = data[:change["truncate"]]
        elif "extend" in change:
            data += bytes.fromhex(change["extend"])
        elif "at" in change:
            new = bytes.fromhex(change["hex"])
            data[change["at"]:change["at"] + len(new)] = new
        else:
            first, width = change["bit"], change["width"]
            for position in range(width):
                at, mask = (first + position) // 8, 1 << (first + position) % 8
                if change["value"] >> position & 1:
                    data[at] |= mask
                else:
                    data[at] &= ~mask
    return bytes(data)


# -------------------------------------------------------------------------------------------------- which stacks may be

def stack_cases(params):
    """Figures of stacks that are accepted or refused (S 3.1, 3.5, 8.4)."""
    cases = []

    def add(name, rows, expect, **more):
        cases.append({"name": name, "generations": [
            {"count": count, "slots": slots, "slot_bytes": size, "interleave": t, "parameter_set": number}
            for count, slots, size, t, number in rows
        ], **more, "expect": expect})

    here = params.number
    most = params.most_polys
    add("one slot of one byte", [(1, 1, 1, 1, here)], None)
    add("all in one polynomial", [(1, MOST_INTERLEAVED, 8, MOST_INTERLEAVED, here)], None)
    add("no generation", [], "BadStack")
    add("no slots", [(1, 0, 8, 1, here)], "BadShape")
    add("slots of no bytes", [(1, 1, 0, 1, here)], "BadShape")
    add("interleaving 0", [(1, 1, 8, 0, here)], "BadShape")
    add("interleaving 3", [(1, 3, 8, 3, here)], "BadShape")
    add("interleaving 4096", [(1, 1, 8, 2 * MOST_INTERLEAVED, here)], "BadShape")
    add("slots above 256 MiB", [(1, 1, (1 << 28) + 1, 1, here)], "BadShape")
    add("a parameter set that is not in the table", [(1, 1, 8, 1, 999)], "UnknownParams")
    add("two slot sizes", [(1, 4, 8, 2, here), (1, 4, 9, 2, here)], "BadStack")
    add("two interleavings", [(1, 4, 8, 2, here), (1, 4, 8, 4, here)], "BadStack")
    add("a seed twice", [(3, 4, 8, 2, here)], "BadStack", same_seed=[0, 2])
    add("as many polynomials as are allowed", [(2, most, 8, 2, here)], None)
    add("one polynomial too many", [(2, most, 8, 2, here), (1, 1, 8, 2, here)], "TooManyPolys")
    # As many generations of two polynomials as the noise allows, and one more.
    largest = 1
    while 2 * (largest + 1) <= most and acceptable(params, 2 * (largest + 1), largest + 1):
        largest += 1
    add("as many generations of two polynomials as the noise allows", [(largest, 8, 8, 4, here)], None)
    refused = "TooNoisy" if 2 * (largest + 1) <= most else "TooManyPolys"
    add("one generation more", [(largest + 1, 8, 8, 4, here)], refused)
    return cases


# ------------------------------------------------------------------------------------------------------------ all of it

# Per set, stacks: name, bytes of a slot, t, slots of each generation, choices.
STACKS = {
    1: [
        # Two blocks; the last groups have 6 and 1 slots of 32; the last of 80 rows has two symbols.
        ("interleaved", 3005, 32, [70, 33], [(0, 0), (0, 69), (1, 32), None]),
        # t = 1: a polynomial for each slot.
        ("alone", 101, 1, [2, 3], [(1, 2), None]),
        # t = n: every row is a block of its own.
        ("all together", 77, 2048, [5], [(0, 4), None]),
    ],
    2: [
        # Two blocks; the last groups have 2 and 5 slots of 128; the last of 33 rows has one symbol.
        ("interleaved", 2051, 128, [130, 5], [(0, 129), (1, 0), None]),
        ("alone", 101, 1, [1, 2], [(1, 1), None]),
        # Blocks of two rows.
        ("all together", 205, 2048, [5], [(0, 4), None]),
    ],
}


def document(params):
    """Name and text of the file of a parameter set."""
    stacks = [
        Stack(params, name, size, t, slots).vectors(choices)
        for name, size, t, slots, choices in STACKS[params.number]
    ]
    content = {
        "specification": "docs/oblivious-encoding.md, version 1",
        "parameters": params.figures(),
        "stacks": stacks,
        "stack_cases": stack_cases(params),
    }
    return f"set{params.number}.json", json.dumps(content, indent=1) + "\n"


def main():
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    stale = []
    with concurrent.futures.ProcessPoolExecutor() as pool:
        documents = list(pool.map(document, SETS))
    for name, text in documents:
        path = os.path.join(HERE, name)
        if not sys.argv[1:]:
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            continue
        try:
            with open(path, encoding="utf-8") as file:
                same = file.read() == text
        except FileNotFoundError:
            same = False
        if not same:
            stale.append(name)
    if stale:
        sys.exit(f"{', '.join(stale)} is not what make.py writes: run it, and look at what changed")


if __name__ == "__main__":
    main()
