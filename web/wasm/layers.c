// The other operations of the networks (SPEC section 11). Arrays are (rows, columns, channels).
#include "common.h"

// Half precision to single.
void EXPORT(floats_of_halves)(const uint16_t *in, float *out, int n) {
  for (int i = 0; i < n; i++) {
    uint32_t sign = (uint32_t)(in[i] >> 15) << 31, exponent = in[i] >> 10 & 31, digits = in[i] & 1023;
    if (exponent) {
      uint32_t bits = sign | (exponent == 31 ? 0xffu : exponent + 112) << 23 | digits << 13;
      __builtin_memcpy(out + i, &bits, 4);
    } else {
      float value = (float)digits * 0x1p-24f;
      out[i] = sign ? -value : value;
    }
  }
}

int EXPORT(all_finite)(const float *x, int n) {
  for (int i = 0; i < n; i++)
    if (!(__builtin_fabsf(x[i]) <= 3.402823466e38f)) return 0;
  return 1;
}

// Copies (h, w, c) into the middle of zeros.
void EXPORT(surround)(const float *in, int h, int w, int c, int before, int after, float *out) {
  size_t wide = (size_t)(w + before + after) * c;
  __builtin_memset(out, 0, wide * (h + before + after) * 4);
  for (int y = 0; y < h; y++)
    __builtin_memcpy(out + (y + before) * wide + before * c, in + (size_t)y * w * c, (size_t)w * c * 4);
}

// A kernel (side, side, c) for each channel; `relu` is taken of what goes in.
void EXPORT(depthwise)(const float *in, int h, int w, int c, const float *kernel, int side, int stride, int relu,
                       float *out) {
  int before = side > stride ? (side - stride) / 2 : 0;
  Four low = relu ? all(0) : all(-3.4e38f);
  for (int y = 0; y < h / stride; y++) {
    int top = y * stride - before, y0 = top < 0 ? -top : 0, y1 = top + side > h ? h - top : side;
    for (int x = 0; x < w / stride; x++, out += c) {
      int left = x * stride - before, x0 = left < 0 ? -left : 0, x1 = left + side > w ? w - left : side;
      int j = 0;
      for (; j + 16 <= c; j += 16) {
        Four s0 = all(0), s1 = all(0), s2 = all(0), s3 = all(0);
        for (int dy = y0; dy < y1; dy++) {
          const float *k = kernel + (dy * side + x0) * c + j, *p = in + ((size_t)(top + dy) * w + left + x0) * c + j;
          for (int dx = x0; dx < x1; dx++, k += c, p += c) {
            s0 = MULTIPLY_ADD(wasm_v128_load(k), wasm_f32x4_pmax(low, wasm_v128_load(p)), s0);
            s1 = MULTIPLY_ADD(wasm_v128_load(k + 4), wasm_f32x4_pmax(low, wasm_v128_load(p + 4)), s1);
            s2 = MULTIPLY_ADD(wasm_v128_load(k + 8), wasm_f32x4_pmax(low, wasm_v128_load(p + 8)), s2);
            s3 = MULTIPLY_ADD(wasm_v128_load(k + 12), wasm_f32x4_pmax(low, wasm_v128_load(p + 12)), s3);
          }
        }
        wasm_v128_store(out + j, s0);
        wasm_v128_store(out + j + 4, s1);
        wasm_v128_store(out + j + 8, s2);
        wasm_v128_store(out + j + 12, s3);
      }
      for (; j < c; j++) {
        float sum = 0;
        for (int dy = y0; dy < y1; dy++)
          for (int dx = x0; dx < x1; dx++) {
            float v = in[((size_t)(top + dy) * w + left + dx) * c + j];
            sum += kernel[(dy * side + dx) * c + j] * (relu ? larger(v, 0) : v);
          }
        out[j] = sum;
      }
    }
  }
}

// Channel (dy * factor + dx) * d + j of `c` becomes channel j of d, dy rows and dx columns on.
void EXPORT(depth_to_space)(const float *in, int h, int w, int c, int factor, float *out) {
  int d = c / factor / factor;
  for (int y = 0; y < h; y++)
    for (int x = 0; x < w; x++)
      for (int dy = 0; dy < factor; dy++, in += factor * d)
        __builtin_memcpy(out + (((size_t)y * factor + dy) * w + x) * factor * d, in, (size_t)factor * d * 4);
}

// The inverse: (h, w, c) to (h / factor, w / factor, ...), results `apart`.
void EXPORT(space_to_depth)(const float *in, int h, int w, int c, int factor, float *out, int apart) {
  for (int y = 0; y < h; y++)
    for (int x = 0; x < w; x += factor, in += factor * c)
      __builtin_memcpy(out + ((size_t)(y / factor) * (w / factor) + x / factor) * apart + y % factor * factor * c, in,
                       (size_t)factor * c * 4);
}

void EXPORT(copy_rows)(const float *in, int from, float *out, int to, long rows, int c) {
  for (long r = 0; r < rows; r++) __builtin_memcpy(out + r * to, in + r * from, (size_t)c * 4);
}

void EXPORT(add)(float *x, const float *y, long n) {
  long i = 0;
  for (; i + 4 <= n; i += 4) wasm_v128_store(x + i, wasm_f32x4_add(wasm_v128_load(x + i), wasm_v128_load(y + i)));
  for (; i < n; i++) x[i] += y[i];
}

// e^x - 1 = 2^n (e^r - 1) + 2^n - 1, |r| <= log(2) / 2, where the series needs eight terms.
static inline Four exp_less_one(Four x) {
  x = wasm_f32x4_pmin(all(80), wasm_f32x4_pmax(all(-80), x));
  Four n = wasm_f32x4_nearest(wasm_f32x4_mul(x, all(1.44269504088896f)));
  // log(2) in two parts, the first of which n can be multiplied with exactly
  Four r = wasm_f32x4_sub(wasm_f32x4_sub(x, wasm_f32x4_mul(n, all(0.69314575195f))), wasm_f32x4_mul(n, all(1.42860677e-6f)));
  Four s = all(1.f / 40320);
  s = wasm_f32x4_add(wasm_f32x4_mul(s, r), all(1.f / 5040));
  s = wasm_f32x4_add(wasm_f32x4_mul(s, r), all(1.f / 720));
  s = wasm_f32x4_add(wasm_f32x4_mul(s, r), all(1.f / 120));
  s = wasm_f32x4_add(wasm_f32x4_mul(s, r), all(1.f / 24));
  s = wasm_f32x4_add(wasm_f32x4_mul(s, r), all(1.f / 6));
  s = wasm_f32x4_add(wasm_f32x4_mul(s, r), all(.5f));
  s = wasm_f32x4_add(wasm_f32x4_mul(wasm_f32x4_mul(s, r), r), r);
  Four power = wasm_i32x4_shl(wasm_i32x4_add(wasm_i32x4_trunc_sat_f32x4(n), wasm_i32x4_splat(127)), 23);
  return wasm_f32x4_add(wasm_f32x4_mul(power, s), wasm_f32x4_sub(power, all(1)));
}
static inline Four sigmoid4(Four x) {
  return wasm_f32x4_div(all(1), wasm_f32x4_add(all(2), exp_less_one(wasm_f32x4_neg(x))));
}
static inline Four tanh4(Four x) {
  Four e = exp_less_one(wasm_f32x4_mul(x, all(2)));
  return wasm_f32x4_div(e, wasm_f32x4_add(e, all(2)));
}

// Up to four numbers, so that rows of any length can be worked on.
static inline Four some(const float *x, int n) {
  float v[4] = {0, 0, 0, 0};
  for (int i = 0; i < n && i < 4; i++) v[i] = x[i];
  return n >= 4 ? wasm_v128_load(x) : wasm_v128_load(v);
}
static inline void put(float *x, Four v, int n) {
  float t[4];
  if (n >= 4) { wasm_v128_store(x, v); return; }
  wasm_v128_store(t, v);
  for (int i = 0; i < n; i++) x[i] = t[i];
}

// Gates of the residual GRU: rows of `sums` are (z, r, candidate), d each. z becomes its sigmoid,
// `reset` sigmoid(r) * h.
void EXPORT(gates)(float *sums, const float *h, float *reset, long rows, int d) {
  for (long p = 0; p < rows; p++, sums += 3 * d, h += d, reset += d)
    for (int j = 0; j < d; j += 4) {
      put(sums + j, sigmoid4(some(sums + j, d - j)), d - j);
      put(reset + j, wasm_f32x4_mul(sigmoid4(some(sums + d + j, d - j)), some(h + j, d - j)), d - j);
    }
}

// state += h + z * (tanh(candidate) - h); output = state.
void EXPORT(renew)(const float *sums, const float *h, float *state, float *output, long rows, int d) {
  for (long p = 0; p < rows; p++, sums += 3 * d, h += d, state += d, output += d)
    for (int j = 0; j < d; j += 4) {
      Four old = some(h + j, d - j), g = tanh4(some(sums + 2 * d + j, d - j));
      Four new = wasm_f32x4_add(old, wasm_f32x4_mul(some(sums + j, d - j), wasm_f32x4_sub(g, old)));
      new = wasm_f32x4_add(new, some(state + j, d - j));
      put(state + j, new, d - j);
      put(output + j, new, d - j);
    }
}

// x = exp(2 tanh(x / 2)).
void EXPORT(factor)(float *x, long n) {
  for (long i = 0; i < n; i += 4) {
    Four y = wasm_f32x4_mul(tanh4(wasm_f32x4_mul(some(x + i, n - i), all(.5f))), all(2));
    put(x + i, wasm_f32x4_add(exp_less_one(y), all(1)), n - i);
  }
}

// x[p][m] *= half the difference of the codes of channels 2m and 2m + 1.
void EXPORT(times_difference)(float *x, const float *codes, long rows, int pairs, int channels) {
  for (long p = 0; p < rows; p++, x += pairs, codes += channels)
    for (int m = 0; m < pairs; m++) x[m] *= (codes[2 * m] - codes[2 * m + 1]) * .5f;
}

void EXPORT(floats_of_codes)(const int8_t *in, long n, float *out) {
  for (long i = 0; i < n; i++) out[i] = in[i];
}

void EXPORT(floats_of_expectation)(const int32_t *in, long n, float *out) {
  for (long i = 0; i < n; i++) out[i] = in[i] * (1.f / 32768);
}

// ---- Fields: values over the whole picture, as they are or as multiples of a step ---------------
static inline int16_t steps_of(float x, float per) {
  float v = __builtin_rintf(x * per);
  return v < -32768.f ? -32768 : v > 32767.f ? 32767 : (int16_t)v;
}

void EXPORT(load_steps)(const int16_t *in, float *out, long rows, int c, int apart, float step) {
  for (long r = 0; r < rows; r++, in += c, out += apart)
    for (int j = 0; j < c; j++) out[j] = in[j] * step;
}
void EXPORT(store_steps)(const float *in, int apart, int16_t *out, long rows, int c, float step) {
  float per = 1 / step;
  for (long r = 0; r < rows; r++, in += apart, out += c)
    for (int j = 0; j < c; j++) out[j] = steps_of(in[j], per);
}
// out = old + factor * in, of which the first c of `channels` are given
void EXPORT(add_steps)(const int16_t *old, const float *in, int c, float scale, int16_t *out, long rows, int channels,
                       float step) {
  float per = 1 / step;
  for (long r = 0; r < rows; r++, in += c, old += channels, out += channels)
    for (int j = 0; j < channels; j++) out[j] = j < c ? steps_of(old[j] * step + in[j] * scale, per) : old[j];
}
void EXPORT(add_scaled)(const float *old, const float *in, int c, float scale, float *out, long rows, int channels) {
  for (long r = 0; r < rows; r++, in += c, old += channels, out += channels)
    for (int j = 0; j < channels; j++) out[j] = old[j] + (j < c ? in[j] * scale : 0);
}

// ---- Pictures ------------------------------------------------------------------------------------
#define LEVEL (0.9f / 127.5f)

// (rows, w, 3) to levels, four bytes a pixel, opaque; all the same if the picture is grey.
void EXPORT(levels)(const float *in, long n, int grey, uint8_t *out) {
  for (long p = 0; p < n; p++, in += 3, out += 4) {
    for (int i = 0; i < 3; i++) {
      float v = in[i] * (1 / LEVEL) + 128.f;
      out[i] = v < 0 ? 0 : v > 255 ? 255 : (uint8_t)v;
    }
    if (grey) out[0] = out[1] = out[2] = (19595 * out[0] + 38470 * out[1] + 7471 * out[2] + 32768) >> 16;
    out[3] = 255;
  }
}

// gain * (picture of levels, four bytes a pixel - painted), in place of what is painted.
void EXPORT(residual)(float *painted, const uint8_t *pixels, long n, float gain) {
  for (long p = 0; p < n; p++, painted += 3, pixels += 4)
    for (int i = 0; i < 3; i++) painted[i] = gain * ((pixels[i] - 127.5f) * LEVEL - painted[i]);
}

// ---- Encoder: the linear path's digits (SPEC section 11) -----------------------------------------
// One digit of a number that is to be told: told = left / worth, and its sign, if it reaches the
// threshold, is taken off.
void EXPORT(digit)(float *left, long rows, int apart, float *told, int told_apart, float worth, float threshold) {
  for (long p = 0; p < rows; p++) {
    float z = left[p * apart] / worth;
    told[p * told_apart] = z;
    float sure = larger(-1, -larger(-1, -1e6f * (z + threshold))), not = larger(-1, -larger(-1, -1e6f * (z - threshold)));
    left[p * apart] -= worth * .5f * (sure + not);
  }
}

// sums += (z, -z) interleaved, z = told * factor; codes are the signs, 0 counting as +1.
void EXPORT(signs)(const float *sums, const float *told, const float *factors, int8_t *out, long rows, int most, int channels) {
  for (long p = 0; p < rows; p++, sums += most, told += most / 2, factors += most / 2, out += channels)
    for (int j = 0; j < channels; j++) {
      float z = told[j / 2] * factors[j / 2];
      out[j] = sums[j] + (j & 1 ? -z : z) >= 0 ? 1 : -1;
    }
}
