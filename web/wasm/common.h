// What the parts of the module share. It is freestanding: memory is laid out by src/wasm.ts.
#ifndef RGRU_COMMON_H
#define RGRU_COMMON_H

#include <stddef.h>
#include <stdint.h>
#include <wasm_simd128.h>

#define EXPORT(name) __attribute__((export_name(#name))) name

typedef v128_t Four;  // four numbers

#ifdef RELAXED
#define MULTIPLY_ADD(a, b, c) wasm_f32x4_relaxed_madd(a, b, c)
#else
#define MULTIPLY_ADD(a, b, c) wasm_f32x4_add(wasm_f32x4_mul(a, b), c)
#endif

static inline Four all(float x) { return wasm_f32x4_splat(x); }
static inline float larger(float a, float b) { return a > b ? a : b; }
static inline int clamp(int x, int low, int high) { return x < low ? low : x > high ? high : x; }

#endif
