#!/usr/bin/env python3
"""Hardness of the ring-LWE instances behind the parameter sets (docs/oblivious-encoding.md 9).

Independent of the crate; `python3 estimate.py` prints the figures, `python3 estimate.py check` compares the formulas with
published ones. Ring-LWE is treated as plain LWE of dimension n with as many samples as the attack likes: no attack is
known that does better on the ring X^n + 1.

Attacks
  primal        uSVP embedding, secret scaled to the errors (Bai and Galbraith, ACISP 2014), success condition of
                Alkim, Ducas, Poeppelmann and Schwabe (USENIX Security 2016).
  primal+svp    the same lattice, block size b for the basis, then one larger call for the last vectors
                (Liu and Nguyen, CT-RSA 2013): b and the last dimension are balanced.
  hybrid        guess z ternary coefficients by meet in the middle, then nearest planes on the rest
                (Howgrave-Graham, CRYPTO 2007). In the attacker's favour: the middle is always met, one nearest-plane
                call costs d^2, nearest planes succeeds with the probability of a Gaussian error.
  dual          many short dual vectors from one sieve distinguish (Micciancio and Regev 2009; Albrecht, EUROCRYPT 2017).
  dual hybrid   the same, with z ternary coefficients guessed (Espitau, Joux and Kharchenko, INDOCRYPT 2020), scores taken
                as independent. Ducas and Pulles (CRYPTO 2023) show that this independence fails where it matters, so
                these figures are the attacker's hope. Fourier transforms over guesses modulo 2 (Guo and Johansson,
                ASIACRYPT 2021) save less than a bit here, since they shorten the vectors by 2^(t/d) only.

Cost of lattice reduction with block size b in dimension d
  hes           8 d calls of 2^(0.292 b + 16.4): Homomorphic Encryption Security Standard, 2018
  quantum       8 d calls of 2^(0.265 b + 16.4)
  core          one call of 2^(0.292 b), without any overhead (core-SVP); core_q with 0.265
  gates         MATZOV 2022 after Albrecht, Gheorghiu, Postlethwaite and Schanck (ASIACRYPT 2020) and Ducas (EUROCRYPT
                2018): 5.46^2 (d - b) 2^(0.29613 (b - f) + 20.388), f = b ln(4/3) / ln(b / 2 pi e) dimensions for free
"""
import math
from math import erf, exp, lgamma, log, log2, pi, sqrt

E = math.e
P27 = (134176769, 134111233)


def log2_delta(b):
    """log2 of the root Hermite factor of BKZ-b (Chen 2013)."""
    return log2((pi * b) ** (1 / b) * b / (2 * pi * E)) / (2 * (b - 1))


def hes(b, d):
    return 0.292 * b + 16.4 + log2(8 * d)


def quantum(b, d):
    return 0.265 * b + 16.4 + log2(8 * d)


def core(b, d):
    return 0.292 * b


def core_q(b, d):
    return 0.265 * b


def gates(b, d):
    free = max(b * log(4 / 3) / log(b / (2 * pi * E)), 0)
    return log2(5.46 ** 2 * max(d - b, 1)) + 0.29613500308205365 * (b - free) + 20.387885985467914


def add(*bits):
    """log2 of a sum of powers of two."""
    top = max(bits)
    return top + log2(sum(2 ** (x - top) for x in bits))


class Lwe:
    def __init__(self, n, log_q, error, secret, support):
        self.n, self.log_q, self.error, self.secret, self.support = n, log_q, error, secret, support

    def best_m(self, b, kept):
        """Samples that make the short vectors shortest, with `kept` secret coefficients in the lattice."""
        d = sqrt(kept * (self.log_q + log2(self.secret / self.error)) / log2_delta(b))
        return max(1, round(d) - kept)


def primal(lwe, cost, start=60):
    scale = log2(lwe.error / lwe.secret)
    for b in range(start, 2000):
        for m in range(lwe.n // 4, 2 * lwe.n + 1, 8):
            d = lwe.n + m + 1
            rhs = (2 * b - d - 1) * log2_delta(b) + (m * lwe.log_q + lwe.n * scale) / d
            if log2(lwe.error) + 0.5 * log2(b) <= rhs:
                return dict(bits=cost(b, d), b=b, d=d)


def log2_gaussian_heuristic(n):
    """log2 of the radius of the ball of volume 1 in dimension n."""
    return (lgamma(n / 2 + 1) / n - log(pi) / 2) / log(2)


def profile(lwe, b, d, kept):
    """Mean log2 norm, and log2 delta: Gram-Schmidt norm i is mean + (d - 1 - 2 i) log2 delta."""
    m = d - kept
    mean = (m * lwe.log_q + kept * log2(lwe.error / lwe.secret)) / d
    return mean, log2_delta(b)


def primal_svp(lwe, cost):
    first = primal(lwe, cost)
    best = dict(first, last=first["b"])
    for b in range(first["b"] - 1, max(first["b"] - 60, 60), -1):
        d = lwe.n + lwe.best_m(b, lwe.n)
        mean, ld = profile(lwe, b, d, lwe.n)
        for last in range(2, d):
            # Mean log2 norm of the last `last` vectors is mean - (d - last) ld.
            if log2(lwe.error * sqrt(last)) <= mean - (d - last) * ld + log2_gaussian_heuristic(last):
                # The first dimension for which the projected error is shortest: Liu and Nguyen call it once.
                if last > 1 and last >= b:
                    bits = add(cost(b, d), cost(last, last + 1) - (log2(8 * (last + 1)) if cost in (hes, quantum) else 0))
                    if bits < best["bits"]:
                        best = dict(bits=bits, b=b, d=d, last=last)
                    break
    return best


def hybrid(lwe, cost, step_z=16, step_b=4):
    best = dict(bits=math.inf)
    top = primal(lwe, cost)["b"]
    per = log2(lwe.support) / 2
    for z in range(0, lwe.n // 2, step_z):
        kept = lwe.n - z
        for b in range(60, top + 40, step_b):
            d = kept + lwe.best_m(b, kept)
            reduce = cost(b, d)
            search = per * z + 2 * log2(d)
            if max(reduce, search) >= best["bits"]:
                if reduce >= best["bits"]:
                    break
                continue
            mean, ld = profile(lwe, b, d, kept)
            # Nearest planes succeeds if |error| < half of every Gram-Schmidt norm.
            success = 0.0
            for i in range(d - 1, -1, -1):
                ratio = 2 ** (mean + (d - 1 - 2 * i) * ld) / (2 * sqrt(2) * lwe.error)
                if ratio > 6:
                    break
                success += log2(max(erf(ratio), 1e-300))
                if success < -200:
                    break
            bits = add(reduce, search) - success
            if bits < best["bits"]:
                best = dict(bits=bits, b=b, d=d, z=z, success=success)
    return best


def dual(lwe, cost, most_guessed=0):
    """Short dual vectors w: the products <w, b> are small, or, where z coefficients are guessed, small for one guess."""
    best = dict(bits=math.inf)
    top = primal(lwe, cost)["b"] + 80
    per = log2(lwe.support)
    for z in range(0, most_guessed + 1, 2):
        kept = lwe.n - z
        for b in range(80, top):
            d = kept + lwe.best_m(b, kept)
            m = d - kept
            # A sieve's vectors are sqrt(4/3) longer than the shortest; both parts are weighed to add the same noise.
            length = 0.5 * log2(4 / 3) + d * log2_delta(b) + (kept * lwe.log_q + m * log2(lwe.error / lwe.secret)) / d
            sigma = 2 ** (length + log2(lwe.secret) - lwe.log_q)
            if sigma > 2:
                continue
            # 4 exp(4 pi^2 sigma^2) (ln(guesses) - ln ln(1/success)) vectors, success 0.995
            need = 2 + 4 * pi * pi * sigma * sigma / log(2) + log2(per * z * log(2) + 5.3)
            produce = cost(b, d) + max(0, need - 0.2075 * b)
            bits = add(produce, per * z + need)
            if bits < best["bits"]:
                best = dict(bits=bits, b=b, d=d, z=z, vectors=need)
    return best


def dual_hybrid(lwe, cost):
    return dual(lwe, cost, 100)


ATTACKS = {"primal": primal, "primal+svp": primal_svp, "hybrid": hybrid, "dual": dual, "dual hybrid": dual_hybrid}


def show(name, lwe):
    print(f"\n{name}: n = {lwe.n}, log2 q = {lwe.log_q:.3f}")
    for label, attack in ATTACKS.items():
        for cost in (hes, quantum, core, core_q, gates):
            found = attack(lwe, cost)
            rest = ", ".join(f"{k} {v:.1f}" if isinstance(v, float) else f"{k} {v}" for k, v in found.items() if k != "bits")
            print(f"  {label:12} {cost.__name__:8} {found['bits']:6.1f}  {rest}")


if __name__ == "__main__":
    import sys

    ternary, eta21 = sqrt(2 / 3), sqrt(10.5)
    if sys.argv[1:] == ["check"]:
        # Figures printed in the documentation of the lattice estimator (Albrecht, Player and Scott 2015), gates model.
        kyber = Lwe(512, log2(3329), sqrt(1.5), sqrt(1.5), 7)
        print("Kyber-512 primal+svp, expected 140.3 with b 391, last 421:", primal_svp(kyber, gates))
        print("Kyber-512 primal, expected 143.8 with b 406, d 998:", primal(kyber, gates))
        binary = Lwe(1024, 32, 3.0, 0.5, 2)
        print("binary n 1024, dual, expected 107.0 with b 264:", dual(binary, gates))
        print("   dual hybrid, expected 103.2 with b 250, z 42:", dual_hybrid(binary, gates))
        raise SystemExit
    show("set 1", Lwe(2048, log2(P27[0] * P27[1]), eta21, ternary, 3))
    show("set 2", Lwe(4096, 81.0, eta21, ternary, 3))
