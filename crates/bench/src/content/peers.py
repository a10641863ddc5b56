"""Foreign codecs, timed around their calls: JPEG-LS (CharLS), JPEG 2000 (OpenJPEG), JPEG XL (libjxl).

Reads images from standard input, each a line of JSON (width, height, components, depth, rounds) and the samples,
pixel by pixel, one byte each up to a depth of 8 and else two, low byte first. Answers each with a line of JSON: for
every codec the length of its coding and the seconds of the quickest encoding and decoding. Each decoding is compared
with what was encoded. One thread.
"""

import json
import sys
import time

import imagecodecs
import numpy


def codecs(depth):
    """Name, encoder, decoder, slow."""

    def jpegxl(effort):
        return lambda a: imagecodecs.jpegxl_encode(
            a, lossless=True, effort=effort, bitspersample=depth, numthreads=1
        )

    def jpegxl_back(coded):
        return imagecodecs.jpegxl_decode(coded, numthreads=1)

    yield "JPEG-LS (CharLS)", imagecodecs.jpegls_encode, imagecodecs.jpegls_decode, False
    yield (
        "JPEG 2000 (OpenJPEG)",
        lambda a: imagecodecs.jpeg2k_encode(
            a, level=0, codecformat="j2k", reversible=True, bitspersample=depth, numthreads=1
        ),
        lambda coded: imagecodecs.jpeg2k_decode(coded, numthreads=1),
        False,
    )
    yield "JPEG XL, effort 1 (libjxl)", jpegxl(1), jpegxl_back, False
    yield "JPEG XL, effort 3 (libjxl)", jpegxl(3), jpegxl_back, False
    yield "JPEG XL, effort 7 (libjxl)", jpegxl(7), jpegxl_back, True


def best(rounds, work, *arguments):
    """The result, and the seconds of the quickest round."""
    quickest = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        result = work(*arguments)
        quickest = min(quickest, time.perf_counter() - start)
    return result, quickest


def measure(image, asked):
    """One row for each codec."""
    rows = []
    for name, encode, decode, slow in codecs(asked["depth"]):
        rounds = 1 if slow else asked["rounds"]
        coded, encode_seconds = best(rounds, encode, image)
        decoded, decode_seconds = best(rounds, decode, coded)
        if not numpy.array_equal(decoded, image):
            raise SystemExit(f"{name} did not give back what it was given")
        rows.append(
            {
                "codec": name,
                "bytes": len(coded),
                "encode_seconds": encode_seconds,
                "decode_seconds": decode_seconds,
            }
        )
    return rows


def main():
    source = sys.stdin.buffer
    while line := source.readline():
        asked = json.loads(line)
        shape = (asked["height"], asked["width"], asked["components"])
        kind = numpy.dtype("u1" if asked["depth"] <= 8 else "<u2")
        length = shape[0] * shape[1] * shape[2] * kind.itemsize
        samples = numpy.frombuffer(source.read(length), kind)
        image = numpy.ascontiguousarray(samples.reshape(shape).squeeze())
        print(json.dumps(measure(image, asked)), flush=True)


main()
