// For emulate.cpp: half precision by its bits (IEEE 754 binary16), rounding to nearest even.
#pragma once
#include <cmath>
#include <cstdint>

struct __half { uint16_t bits; };

inline float __half2float(__half h) {
    int exponent = h.bits >> 10 & 31, mantissa = h.bits & 1023;
    float magnitude = exponent == 31 ? (mantissa ? NAN : INFINITY)
                    : exponent ? std::ldexp(1024.0f + mantissa, exponent - 25) : std::ldexp((float)mantissa, -24);
    return h.bits >> 15 ? -magnitude : magnitude;
}

inline __half __float2half_rn(float value) {
    uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    float magnitude = std::fabs(value);
    if (!(magnitude < 65520.0f)) return {(uint16_t)(sign | (std::isnan(value) ? 0x7e00 : 0x7c00))};
    int exponent = magnitude < std::ldexp(1.0f, -14) ? -14 : std::ilogb(magnitude);
    // Steps of the exponent's spacing; 1024 of them carry into the exponent by themselves.
    int steps = (int)std::nearbyint(std::ldexp(magnitude, 10 - exponent));
    return {(uint16_t)(sign | (exponent == -14 ? steps : ((exponent + 14) << 10) + steps))};
}
