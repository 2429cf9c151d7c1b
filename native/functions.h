// Functions of a vector, without libm: exp, log, GELU and its slope. Errors are measured in test/engine/backends/functions.test.ts.
// The coefficients are least-maximum fits of our own (Lawson's iteration on Chebyshev points).
#pragma once
#include "vector.h"

namespace rivulet::RIVULET_ISA {

// Value of c[0] + c[1] t + ... + c[n - 1] t^(n - 1).
template <int n>
RIVULET_INLINE vf polynomial(vf t, const float (&c)[n]) {
	vf y = splat(c[n - 1]);
	for (int i = n - 2; i >= 0; i--) y = y * t + c[i];
	return y;
}

// e^x, relative error 1e-7; 0 below -86.6, infinity above 88.72; NaN stays NaN.
RIVULET_INLINE vf exp(vf x) {
	constexpr float c[] = {0.49999994f, 0.16666520f, 0.041668393f, 0.0083687808f, 0.0013814467f};
	const vf low = splat(-86.6f), high = splat(88.722839f);
	vf y = select(x < low, low, x);
	y = select(y > high, high, y);
	// x = n ln 2 + r; adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits.
	vf rounder = splat(12582912.0f), shifted = y * 1.44269504f + rounder, n = shifted - rounder;
	vf r = y - n * 0.693359375f;
	r = r + n * 2.12194440e-4f;
	vf e = r * r * polynomial(r, c) + r + 1.0f;
	vi power = ((bits(shifted) - bits(rounder)) + 126) << 23;  // 2^(n - 1), so that n = 128 fits
	e = (e + e) * fromBits(power);
	e = select(x > high, splat(__builtin_inff()), e);
	return select(x < low, vf{}, e);
}

// e^x for x < 88, in fewer steps, as softmax wants it; 1e-38 below -87.3; NaN stays NaN.
RIVULET_INLINE vf expSmall(vf x) {
	constexpr float c[] = {0.49999994f, 0.16666520f, 0.041668393f, 0.0083687808f, 0.0013814467f};
	x = max(splat(-87.3f), x);
	vf rounder = splat(12582912.0f), shifted = x * 1.44269504f + rounder, n = shifted - rounder;
	vf r = x - n * 0.693359375f;
	r = r + n * 2.12194440e-4f;
	vf e = r * r * polynomial(r, c) + r + 1.0f;
	return fromBits(bits(e) + (bits(shifted) << 23));  // n stands in the low bits of shifted
}

// Natural logarithm of a positive, finite, normal x; relative error 1e-7 (absolute near 1).
RIVULET_INLINE double log(double x) {
	int64_t word;
	__builtin_memcpy(&word, &x, sizeof x);
	int64_t exponent = (word >> 52) - 1023;
	word = (word & 0x000fffffffffffffll) | 0x3ff0000000000000ll;
	double m;
	__builtin_memcpy(&m, &word, sizeof m);
	if (m > 1.4142135623730951) m *= 0.5, exponent++;
	// log m = 2 artanh(s), |s| < 0.172
	double s = (m - 1) / (m + 1), t = s * s;
	double series = 1 + t * (1.0 / 3 + t * (1.0 / 5 + t * (1.0 / 7 + t * (1.0 / 9 + t * (1.0 / 11)))));
	return exponent * 0.69314718055994530942 + 2 * s * series;
}

// x p(x^2) / q(x^2), and +-1/2 beyond +-limit.
template <int n, int m>
RIVULET_INLINE vf oddRatio(vf x, const float (&p)[n], const float (&q)[m], float limit) {
	vf t = x * x;
	vf y = x * polynomial(t, p) / polynomial(t, q);
	y = select(x > limit, splat(0.5f), y);
	return select(x < -limit, splat(-0.5f), y);
}

// x Phi(x), Phi the normal distribution function (the exact, erf form of GELU); error below 2e-7 |x|.
RIVULET_INLINE vf gelu(vf x) {
	constexpr float p[] = {0.398942232f, 0.0333722644f, 0.00465085357f, 1.64322104e-4f, 6.36002596e-6f, 2.3386729e-8f};
	constexpr float q[] = {1.0f, 0.250317961f, 0.0283787102f, 0.00185898389f, 7.2400333e-5f, 1.21659127e-6f};
	return x * (oddRatio(x, p, q, 5.4f) + 0.5f);
}

// d gelu / dx = Phi(x) + x phi(x); absolute error 3e-7.
RIVULET_INLINE vf geluSlope(vf x) {
	constexpr float p[] = {0.797885358f, -0.0309958719f, 0.0142303072f, 1.92202242e-05f, 3.5955949e-05f, 1.92929349e-07f};
	constexpr float q[] = {1.0f, 0.294494033f, 0.0409802049f, 0.00352303428f, 0.000192036328f, 8.95242192e-06f};
	return oddRatio(x, p, q, 5.8f) + 0.5f;
}

}  // namespace rivulet::RIVULET_ISA
