// For emulate.cpp: bfloat16 by its bits, the upper half of a float, rounding to nearest even.
#pragma once
#include <cstdint>
#include <cstring>

struct __nv_bfloat16 { uint16_t bits; };

inline float __bfloat162float(__nv_bfloat16 b) {
    uint32_t bits = (uint32_t)b.bits << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

inline __nv_bfloat16 __float2bfloat16_rn(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    return {(uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
