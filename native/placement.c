/* On which partition a customer's records belong: Kafka's default partitioner.
 *
 * Theory: the 32-bit MurmurHash2 (Appleby, public domain) of the key with the seed 0x9747b28c, made positive by dropping
 * the sign, modulo the number of partitions, as org.apache.kafka.common.utils.Utils.murmur2 has it. The key is the
 * customer's id.
 *
 * Bounds: texts are checked to lie in the buffer; ids are at most 65,535 bytes.
 */
#include "segmenter.h"

#include <string.h>

static uint32_t murmur2(const uint8_t *data, uint32_t size) {
  const uint32_t m = 0x5bd1e995u;
  uint32_t hash = 0x9747b28cu ^ size;
  uint32_t at = 0;
  for (; size - at >= 4; at += 4) {
    uint32_t k;
    memcpy(&k, data + at, sizeof k);
    k *= m;
    k ^= k >> 24;
    k *= m;
    hash = hash * m ^ k;
  }
  switch (size - at) {
    case 3: hash ^= (uint32_t)data[at + 2] << 16; /* fall through */
    case 2: hash ^= (uint32_t)data[at + 1] << 8;  /* fall through */
    case 1: hash = (hash ^ data[at]) * m; break;
    default: break;
  }
  hash ^= hash >> 13;
  hash *= m;
  return hash ^ hash >> 15;
}

int32_t seg_place_events(int64_t n, const seg_event *events, const uint8_t *texts, int64_t texts_size,
                         int32_t partitions, int32_t *out) {
  if (partitions < 1) return SEG_OUT_OF_RANGE;
  for (int64_t i = 0; i < n; i++) {
    const seg_event *event = &events[i];
    if ((int64_t)event->text_at + event->customer_size > texts_size) return SEG_OUT_OF_RANGE;
    const uint32_t hash = murmur2(texts + event->text_at, event->customer_size) & 0x7fffffffu;
    out[i] = (int32_t)(hash % (uint32_t)partitions);
  }
  return SEG_OK;
}
