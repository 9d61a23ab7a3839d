// Products of rows with a matrix: what convolutions, dense or of one tap, come down to.
#include "common.h"

enum { ROWS = 4, COLUMNS = 8 };     // of the result, worked out at a time in registers
enum { SPACE = 48 * 4096 + 4096 };  // numbers of rows that wait, packed

static float packed[SPACE] __attribute__((aligned(64)));

int EXPORT(longest_row)(void) { return SPACE / ROWS; }

// A matrix is kept in panels of 8 columns, (n / 8, k, 8), filled up with zeros.
// `deep`: rows of a panel; these k rows begin at row `first` of it.
void EXPORT(pack_floats)(const float *w, float *panels, int k, int n, int first, int deep, float scale) {
  for (int j = 0; j < n; j += COLUMNS)
    for (int i = 0; i < k; i++)
      for (int c = 0; c < COLUMNS; c++)
        panels[((size_t)(j / COLUMNS) * deep + first + i) * COLUMNS + c] = j + c < n ? w[(size_t)i * n + j + c] * scale : 0;
}

void EXPORT(pack_shorts)(const int16_t *w, float *panels, int k, int n, int first, int deep, float scale) {
  for (int j = 0; j < n; j += COLUMNS)
    for (int i = 0; i < k; i++)
      for (int c = 0; c < COLUMNS; c++)
        panels[((size_t)(j / COLUMNS) * deep + first + i) * COLUMNS + c] = j + c < n ? w[(size_t)i * n + j + c] * scale : 0;
}

// Four packed rows times one panel. Numbers that are there already are added to, not replaced,
// if `add`; `relu` comes last.
static inline void tile(int rows, int k, const float *a, const float *b, const float *bias, float *out, int apart,
                        int columns, int add, int relu) {
  Four sum[ROWS][2];
#pragma unroll
  for (int r = 0; r < ROWS; r++) sum[r][0] = sum[r][1] = all(0);
  for (int i = 0; i < k; i++, a += ROWS, b += COLUMNS) {
    Four b0 = wasm_v128_load(b), b1 = wasm_v128_load(b + 4);
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
      Four x = wasm_v128_load32_splat(a + r);
      sum[r][0] = MULTIPLY_ADD(x, b0, sum[r][0]);
      sum[r][1] = MULTIPLY_ADD(x, b1, sum[r][1]);
    }
  }
  Four bias0 = bias ? wasm_v128_load(bias) : all(0), bias1 = bias ? wasm_v128_load(bias + 4) : all(0);
#pragma unroll
  for (int r = 0; r < ROWS; r++) {
    if (r >= rows) continue;
    float *o = out + (size_t)r * apart;
    Four x = wasm_f32x4_add(sum[r][0], bias0), y = wasm_f32x4_add(sum[r][1], bias1);
    if (columns == COLUMNS) {
      if (add) x = wasm_f32x4_add(x, wasm_v128_load(o)), y = wasm_f32x4_add(y, wasm_v128_load(o + 4));
      if (relu) x = wasm_f32x4_pmax(all(0), x), y = wasm_f32x4_pmax(all(0), y);
      wasm_v128_store(o, x);
      wasm_v128_store(o + 4, y);
    } else {
      float part[COLUMNS];
      wasm_v128_store(part, x);
      wasm_v128_store(part + 4, y);
      for (int c = 0; c < columns; c++) {
        float v = part[c] + (add ? o[c] : 0);
        o[c] = relu ? larger(v, 0) : v;
      }
    }
  }
}

// out[p] (+)= row[p] * panels + bias, for lines x count rows p. A row is `runs` runs of `length`
// numbers, `run` apart; rows are `step` apart in a line, and lines `line`. Results are `apart`.
// Rows are packed first: the loop above then has two pointers only, and wasm has few registers.
void EXPORT(product)(int lines, int line, int count, int step, int runs, int length, int run, const float *in,
                     const float *panels, int deep, const float *bias, float *out, int n, int apart, int add, int relu) {
  int k = runs * length, most = SPACE / (k > 0 ? k : 1) / ROWS * ROWS;
  if (most > 48) most = 48;
  long total = (long)lines * count;
  for (long at = 0; at < total; at += most) {
    int rows = total - at < most ? (int)(total - at) : most;
    for (int r = 0; r < rows; r += ROWS)
      for (int i = 0; i < ROWS; i++) {
        long p = at + (r + i < rows ? r + i : rows - 1);
        const float *from = in + p / count * line + p % count * step;
        float *to = packed + (size_t)r * k + i;
        for (int s = 0; s < runs; s++, from += run)
          for (int j = 0; j < length; j++, to += ROWS) *to = from[j];
      }
    for (int j = 0; j < n; j += COLUMNS)
      for (int r = 0; r < rows; r += ROWS)
        tile(rows - r < ROWS ? rows - r : ROWS, k, packed + (size_t)r * k, panels + (size_t)j * deep,
             bias ? bias + j : 0, out + (at + r) * apart + j, apart, n - j < COLUMNS ? n - j : COLUMNS, add, relu);
  }
}
