// The context model (SPEC section 7.4). All numbers are integers below 2^24, which floats hold exactly
// in whatever order they are summed (section 7.5).
#include "common.h"

enum { MOST_LOGIT = 176, MOST_CHANNELS = 1024 };

// Codes at `count` taps (dy, dx), `apart` from each other, around each of n positions of a grid of
// h x w: channels from..to of c, as rows of `out`. What is outside the grid is 0.
void EXPORT(gather)(const int8_t *codes, int h, int w, int c, int from, int to, const int32_t *positions, int n,
                    const int8_t *taps, int count, int apart, float *out, int row) {
  int wide = to - from;
  for (int p = 0; p < n; p++)
    for (int t = 0; t < count; t++) {
      int y = positions[p] / w + taps[2 * t] * apart, x = positions[p] % w + taps[2 * t + 1] * apart;
      float *o = out + (size_t)p * row + t * wide;
      if (y < 0 || x < 0 || y >= h || x >= w) {
        for (int j = 0; j < wide; j++) o[j] = 0;
        continue;
      }
      const int8_t *s = codes + ((size_t)y * w + x) * c + from;
      for (int j = 0; j < wide; j++) o[j] = s[j];
    }
}

// A row of `hidden` (nothing if it is null) plus v, for each position.
void EXPORT(begin_sums)(const float *hidden, int m, const int32_t *positions, int n, const float *v, float *out) {
  for (int p = 0; p < n; p++)
    for (int j = 0; j < m; j++) out[p * m + j] = v[j] + (hidden ? hidden[(size_t)positions[p] * m + j] : 0);
}

// clamp(floor((x + 128) / 256), 0, 255)
void EXPORT(requantize)(float *x, long n) {
  for (long i = 0; i < n; i++) x[i] = clamp(((int)x[i] + 128) >> 8, 0, 255);
}

// Rows y0 - 1 .. y1 of codes (or of floats), with zeros around, as floats.
void EXPORT(strip_of_codes)(const int8_t *in, int h, int w, int c, int y0, int y1, float *out) {
  for (int y = y0 - 1; y <= y1; y++) {
    size_t line = (size_t)w * c;
    for (int j = 0; j < c; j++) *out++ = 0;
    for (size_t i = 0; i < line; i++) out[i] = y < 0 || y >= h ? 0 : in[y * line + i];
    out += line;
    for (int j = 0; j < c; j++) *out++ = 0;
  }
}
void EXPORT(strip_of_state)(const uint8_t *in, int h, int w, int c, int y0, int y1, int around, float *out) {
  for (int y = y0 - around; y < y1 + around; y++) {
    size_t line = (size_t)w * c;
    for (int j = 0; j < c * around; j++) *out++ = 0;
    for (size_t i = 0; i < line; i++) out[i] = y < 0 || y >= h ? 0 : in[y * line + i];
    out += line;
    for (int j = 0; j < c * around; j++) *out++ = 0;
  }
}
void EXPORT(bytes_of_floats)(const float *in, uint8_t *out, long n) {
  for (long i = 0; i < n; i++) out[i] = (uint8_t)in[i];
}

// Step 2.4: adds, for channels start..stop, 64 (Qa[j] s[j] + Qb[j] s[partner of j]), s being the sum
// of codes at the taps. `limit`: channels from there on count as 0.
void EXPORT(add_own_terms)(float *z, int start, int stop, const int8_t *codes, int h, int w, int c, int limit,
                           const int32_t *positions, int n, const int8_t *taps, int count, int apart,
                           const int16_t *qa, const int16_t *qb) {
  int first = start & ~1, last = (stop + 1) & ~1, known = last;
  int32_t s[MOST_CHANNELS + 2];
  if (known > c) known = c;
  if (known > limit) known = limit;
  for (int p = 0; p < n; p++, z += stop - start) {
    for (int j = 0; j < last - first; j++) s[j] = 0;
    for (int t = 0; t < count; t++) {
      int y = positions[p] / w + taps[2 * t] * apart, x = positions[p] % w + taps[2 * t + 1] * apart;
      if (y < 0 || x < 0 || y >= h || x >= w) continue;
      const int8_t *d = codes + ((size_t)y * w + x) * c;
      for (int j = first; j < known; j++) s[j - first] += d[j];
    }
    for (int j = start; j < stop; j++) z[j - start] += 64 * (qa[j] * s[j - first] + qb[j] * s[(j ^ 1) - first]);
  }
}

// Step 2.5.
void EXPORT(logits_of)(const float *z, int16_t *out, long n) {
  for (long i = 0; i < n; i++) out[i] = clamp(((int)z[i] + 512) >> 10, -MOST_LOGIT, MOST_LOGIT);
}

// Section 8.5: k - 32768 for each code of channels start..stop at every position, in `channels`.
void EXPORT(expect)(int16_t *logits, long n, int start, int stop, const int8_t *codes, int channels, const int32_t *q,
                    const uint16_t *table, int32_t *out) {
  for (long p = 0; p < n; p++, logits += stop - start, codes += channels, out += channels)
    for (int j = start; j < stop; j++) {
      int i = logits[j - start];
      if (j & 1 && codes[j - 1] > 0) i = clamp(i + q[j / 2], -MOST_LOGIT, MOST_LOGIT);
      out[j] = table[i + MOST_LOGIT] - 32768;
    }
}
void EXPORT(expectation_of_codes)(const int8_t *codes, int32_t *out, long n) {
  for (long i = 0; i < n; i++) out[i] = codes[i] * 32768;
}

// Section 7.5: sums[j] += scale * sum of |w[i][j]|.
void EXPORT(add_magnitudes)(const int16_t *w, int k, int n, double scale, double *sums) {
  for (int i = 0; i < k; i++)
    for (int j = 0; j < n; j++) sums[j] += scale * (w[(size_t)i * n + j] < 0 ? -(double)w[(size_t)i * n + j] : w[(size_t)i * n + j]);
}
