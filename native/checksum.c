/* CRC-32C (Castagnoli), the checksum of Kafka's record batches.
 *
 * Theory. The remainder of a message over GF(2) is linear: the table entry of a byte is the exclusive or of the entries
 * of its bits. So the eight tables of "slicing by 8" (Kounavis and Berry 2005) are written down as eight numbers each,
 * the entries of 1, 2, 4 ... 128, and the compiler computes the 2,048 entries from them. Where the processor has an
 * instruction for it (SSE 4.2, ARMv8 CRC), that is used: measured, four times as fast.
 *
 * Contract. `seg_crc_kind` says which way this processor has. On x86 that asks the processor, which takes microseconds in
 * a virtual machine, more than a small batch: so it is asked once a process, by Python, which hands the answer over.
 * `seg_crc32c` reads `size` bytes, writes nothing, has no state.
 */
#include <string.h>

#include "segmenter.h"

#define BIT(n, b, value) ((n) >> (b) & 1 ? (value) : 0u)
#define ENTRY(n, a, b, c, d, e, f, g, h) \
  BIT(n, 0, a) ^ BIT(n, 1, b) ^ BIT(n, 2, c) ^ BIT(n, 3, d) ^ BIT(n, 4, e) ^ BIT(n, 5, f) ^ BIT(n, 6, g) ^ BIT(n, 7, h)
#define FOUR(n, ...) \
  ENTRY(n, __VA_ARGS__), ENTRY((n) + 1, __VA_ARGS__), ENTRY((n) + 2, __VA_ARGS__), ENTRY((n) + 3, __VA_ARGS__)
#define SIXTEEN(n, ...) \
  FOUR(n, __VA_ARGS__), FOUR((n) + 4, __VA_ARGS__), FOUR((n) + 8, __VA_ARGS__), FOUR((n) + 12, __VA_ARGS__)
#define SIXTY_FOUR(n, ...)                                                            \
  SIXTEEN(n, __VA_ARGS__), SIXTEEN((n) + 16, __VA_ARGS__), SIXTEEN((n) + 32, __VA_ARGS__), \
      SIXTEEN((n) + 48, __VA_ARGS__)
#define SLICE(...) \
  { SIXTY_FOUR(0, __VA_ARGS__), SIXTY_FOUR(64, __VA_ARGS__), SIXTY_FOUR(128, __VA_ARGS__), SIXTY_FOUR(192, __VA_ARGS__) }

/* Of a byte that is followed by as many zero bytes as its slice has in front of it. */
static const uint32_t TABLE[8][256] = {
    SLICE(0xf26b8303u, 0xe13b70f7u, 0xc79a971fu, 0x8ad958cfu, 0x105ec76fu, 0x20bd8edeu, 0x417b1dbcu, 0x82f63b78u),
    SLICE(0x13a29877u, 0x274530eeu, 0x4e8a61dcu, 0x9d14c3b8u, 0x3fc5f181u, 0x7f8be302u, 0xff17c604u, 0xfbc3faf9u),
    SLICE(0xa541927eu, 0x4f6f520du, 0x9edea41au, 0x38513ec5u, 0x70a27d8au, 0xe144fb14u, 0xc76580d9u, 0x8b277743u),
    SLICE(0xdd45aab8u, 0xbf672381u, 0x7b2231f3u, 0xf64463e6u, 0xe964b13du, 0xd725148bu, 0xaba65fe7u, 0x52a0c93fu),
    SLICE(0x38116facu, 0x7022df58u, 0xe045beb0u, 0xc5670b91u, 0x8f2261d3u, 0x1ba8b557u, 0x37516aaeu, 0x6ea2d55cu),
    SLICE(0xef306b19u, 0xdb8ca0c3u, 0xb2f53777u, 0x6006181fu, 0xc00c303eu, 0x85f4168du, 0x0e045bebu, 0x1c08b7d6u),
    SLICE(0x68032cc8u, 0xd0065990u, 0xa5e0c5d1u, 0x4e2dfd53u, 0x9c5bfaa6u, 0x3d5b83bdu, 0x7ab7077au, 0xf56e0ef4u),
    SLICE(0x493c7d27u, 0x9278fa4eu, 0x211d826du, 0x423b04dau, 0x847609b4u, 0x0d006599u, 0x1a00cb32u, 0x34019664u),
};

static uint64_t word_at(const uint8_t *data) {
  uint64_t word;
  memcpy(&word, data, sizeof word);
  return word;
}

static uint32_t by_tables(uint32_t crc, const uint8_t *data, size_t size) {
  for (; size >= 8; data += 8, size -= 8) {
    uint64_t word = word_at(data) ^ crc;
    crc = 0;
    for (int slice = 7; slice >= 0; slice--, word >>= 8) crc ^= TABLE[slice][word & 255];
  }
  for (; size; data++, size--) crc = TABLE[0][(crc ^ *data) & 255] ^ crc >> 8;
  return crc;
}

#if defined(__x86_64__)
#include <cpuid.h>

static bool has_instruction(void) {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && c & bit_SSE4_2;
}

#ifdef __clang__ /* newer ones set the instruction apart from SSE 4.2, of which it was a part */
#define WITH_CRC "sse4.2,crc32"
#else
#define WITH_CRC "sse4.2"
#endif

__attribute__((target(WITH_CRC))) static uint32_t by_instruction(uint32_t crc, const uint8_t *data, size_t size) {
  uint64_t wide = crc;
  for (; size >= 8; data += 8, size -= 8) wide = __builtin_ia32_crc32di(wide, word_at(data));
  crc = (uint32_t)wide;
  for (; size; data++, size--) crc = __builtin_ia32_crc32qi(crc, *data);
  return crc;
}
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>

static bool has_instruction(void) { return true; }

static uint32_t by_instruction(uint32_t crc, const uint8_t *data, size_t size) {
  for (; size >= 8; data += 8, size -= 8) crc = __crc32cd(crc, word_at(data));
  for (; size; data++, size--) crc = __crc32cb(crc, *data);
  return crc;
}
#else
static bool has_instruction(void) { return false; }
#define by_instruction by_tables
#endif

int32_t seg_crc_kind(void) { return has_instruction() ? SEG_CRC_INSTRUCTION : SEG_CRC_TABLES; }

uint32_t seg_crc32c(const uint8_t *data, int64_t size, int32_t crc_kind) {
  if (size <= 0) return 0;
  const bool is_fast = crc_kind == SEG_CRC_INSTRUCTION;
  return ~(is_fast ? by_instruction(~0u, data, (size_t)size) : by_tables(~0u, data, (size_t)size));
}
