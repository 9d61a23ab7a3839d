// The range coder (SPEC section 8) and what the context model learns while it codes (section 7.7).
// One group at a time.
#include "common.h"

enum { MOST_LOGIT = 176, ENTRIES = 2 * MOST_LOGIT + 1, MOST_CHANNELS = 1024 };

static uint16_t table[ENTRIES];
static uint32_t splits[ENTRIES];
static uint64_t range;

// Reading: `distance` is point - lower of section 8.3, which is all that is asked for.
static struct { uint64_t distance; const uint8_t *at, *end; } in;
static struct { uint64_t lower; uint8_t *begin, *at; } out;
static struct { int64_t shift, slope, known, sure; } learnt[MOST_CHANNELS];
static int behind;  // positions of the group that are coded

uint16_t *EXPORT(table_place)(void) { return table; }

void EXPORT(table_is_set)(void) {
  for (int i = 0; i < ENTRIES; i++) splits[i] = (uint32_t)((uint64_t)(65536 - table[i]) * 16777214 >> 16) + 1;
}

static uint32_t next_word(void) {
  uint32_t word = 0;
  for (int i = 0; i < 4; i++) word = word << 8 | (in.at < in.end ? *in.at++ : 0);
  return word;
}

static void begin_group(int channels) {
  range = ~0ull;
  behind = 0;
  for (int j = 0; j < channels; j++) {
    learnt[j].shift = learnt[j].slope = 0;
    learnt[j].known = 20ll << 16;
    learnt[j].sure = 50ll << 24;
  }
}
void EXPORT(begin_reading)(const uint8_t *payload, int size, int channels) {
  in.at = payload;
  in.end = payload + size;
  uint64_t first = next_word();
  in.distance = first << 32 | next_word();
  begin_group(channels);
}
void EXPORT(begin_writing)(uint8_t *place, int channels) {
  out.begin = out.at = place;
  out.lower = 0;
  begin_group(channels);
}

static inline int read_bit(uint32_t split, int *damaged) {
  uint64_t scale = range >> 24, bound = scale * split;
  if (in.distance >= scale << 24) *damaged = 1;
  int bit = in.distance >= bound;
  if (bit) {
    in.distance -= bound;
    range = scale * (16777216 - split);
  } else {
    range = bound;
  }
  if (range >> 32 == 0) {
    range <<= 32;
    in.distance = in.distance << 32 | next_word();
  }
  return bit;
}

static void carry(void) {
  for (uint8_t *p = out.at; p-- > out.begin && !++*p;) {
  }
}
static void write_word(uint32_t word) {
  for (int i = 24; i >= 0; i -= 8) *out.at++ = word >> i;
}
static inline void write_bit(uint32_t split, int bit) {
  uint64_t scale = range >> 24, bound = scale * split;
  if (bit) {
    out.lower += bound;
    if (out.lower < bound) carry();
    range = scale * (16777216 - split);
  } else {
    range = bound;
  }
  if (range >> 32 == 0) {
    write_word(out.lower >> 32);
    out.lower <<= 32;
    range <<= 32;
  }
}

// Ends the stream as section 8.4 says; returns its length.
int EXPORT(finish_writing)(void) {
  uint64_t end = 0;
  if (out.lower) {
    if (0 - out.lower < range) {  // 2^64 lies inside
      carry();
    } else {
      for (int n = 56; n >= 0; n -= 8) {
        uint64_t mask = (1ull << n) - 1;
        end = (out.lower + mask) & ~mask;
        if (end - out.lower < range) break;
      }
    }
  }
  write_word(end >> 32);
  write_word(end);
  while (out.at > out.begin && !out.at[-1]) out.at--;
  return out.at - out.begin;
}

static inline int64_t floor_of(int64_t a, int64_t b) { return a / b - (a % b < 0); }
static inline int64_t clamp64(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }

static void learn(const int16_t *logits, const int32_t *positions, int n, int start, int stop, const int8_t *codes,
                  int channels, const uint16_t *ks) {
  int wide = stop - start;
  for (int j = 0; j < wide; j++) {
    int64_t e = 0, ei = 0, var = 0, varii = 0;
    for (int p = 0; p < n; p++) {
      int64_t k = ks[p * wide + j], i = logits[p * wide + j], v = k * (65536 - k) >> 16;
      int64_t error = codes[(size_t)positions[p] * channels + start + j] > 0 ? 65536 - k : -k;
      e += error;
      ei += error * i;
      var += v;
      varii += v * i * i;
    }
    int64_t known = (learnt[j].known < 200ll << 16 ? learnt[j].known : 200ll << 16) + var;
    int64_t sure = (learnt[j].sure < 1000ll << 24 ? learnt[j].sure : 1000ll << 24) + varii;
    learnt[j].known = known;
    learnt[j].sure = sure;
    learnt[j].shift = clamp64(learnt[j].shift + floor_of(65536 * e, known), -MOST_LOGIT * 4096, MOST_LOGIT * 4096);
    learnt[j].slope = clamp64(learnt[j].slope + floor_of(65536 * ei, sure), -4096, 4096);
  }
}

// The codes of one phase: channels start..stop at n positions, read into `codes`, or written from
// `source` (and copied) if there is one. `logits`: of step 2.5, (n, stop - start). `ks`: room for 512
// positions. Returns 1 if the stream is damaged.
int EXPORT(code_phase)(int16_t *logits, const int32_t *positions, int n, int start, int stop, int8_t *codes,
                       int channels, const int32_t *q, const int8_t *source, uint16_t *ks) {
  int wide = stop - start, damaged = 0;
  for (int at = 0; at < n;) {
    int chunk = clamp(behind / 4, 16, 512);
    if (chunk > n - at) chunk = n - at;
    for (int odd = 0; odd < 2; odd++)
      for (int p = 0; p < chunk; p++) {
        size_t place = (size_t)positions[at + p] * channels;
        for (int j = start + ((start ^ odd) & 1); j < stop; j += 2) {
          int16_t *logit = logits + (size_t)(at + p) * wide + j - start;
          int i = *logit;
          if (odd && codes[place + j - 1] > 0) i = clamp(i + q[j / 2], -MOST_LOGIT, MOST_LOGIT);
          *logit = i;
          int moved = (int)((learnt[j - start].shift + learnt[j - start].slope * i + 2048) >> 12);
          int entry = clamp(i + moved, -MOST_LOGIT, MOST_LOGIT) + MOST_LOGIT;
          ks[p * wide + j - start] = table[entry];
          if (source) {
            int code = source[place + j];
            write_bit(splits[entry], code > 0);
            codes[place + j] = code;
          } else {
            codes[place + j] = read_bit(splits[entry], &damaged) ? 1 : -1;
          }
        }
      }
    if (damaged) return 1;
    learn(logits + (size_t)at * wide, positions + at, chunk, start, stop, codes, channels, ks);
    at += chunk;
    behind += chunk;
  }
  return 0;
}
