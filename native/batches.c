/* Kafka's record batches, in and out.
 *
 * Theory. A fetch returns the bytes of a partition's log from the batch that holds the asked offset on: several batches
 * of format 2 (KIP-98), the last one cut off wherever the fetch's limit was. A batch is a header of 61 bytes, big-endian,
 * with a CRC-32C of all that follows it, and records as zigzag varints, their offsets and timestamps as differences from
 * the header's:
 *
 *     header   base offset 8, length 4 (of what follows), leader epoch 4, magic 1, crc 4, attributes 2,
 *              last offset delta 4, base timestamp 8, max timestamp 8, producer id 8, epoch 2, base sequence 4, count 4
 *     record   length, attributes 1, timestamp delta, offset delta, key length, key, value length, value, headers
 *     headers  count, then of each: key length, key, value length, value
 *
 * Reading takes two steps, because what is between them is not the library's: `seg_find_batches` tells of each batch
 * where its records are; Python leaves out control batches and those of aborted transactions, decompresses what is
 * compressed into a new buffer, and `seg_read_records` tells of each record where its parts are. A record before the
 * asked offset is left out, since a fetch begins with a whole batch. Nothing is copied.
 *
 * Contract. Writing is `seg_build_batch`, as many records as a limit allows, and `seg_seal_batch`, once it is known
 * which producer sends it under which number. Formats 0 and 1, of brokers before Kafka 0.11, are SEG_UNKNOWN.
 *
 * Bounds. Every length is compared with what is left before anything behind it is looked at; a record ends exactly where
 * its length says, and the records of a batch where the batch does. Offsets ascend within a batch and stay in the range
 * that its header names, so none overflows; timestamps are added modulo 2^64. Whatever is not so is SEG_DAMAGED.
 * A record has 7 bytes at least, so that a count beyond a seventh of the bytes is refused before room is made for it.
 */
#include <string.h>

#include "segmenter.h"

enum {
  LENGTH_AT = 8,
  MAGIC_AT = 16,
  CRC_AT = 17,
  ATTRIBUTES_AT = 21,
  LAST_DELTA_AT = 23,
  BASE_TIMESTAMP_AT = 27,
  MAX_TIMESTAMP_AT = 35,
  PRODUCER_ID_AT = 43,
  PRODUCER_EPOCH_AT = 51,
  BASE_SEQUENCE_AT = 53,
  COUNT_AT = 57,
  HEADER_SIZE = 61,
  BEFORE_LENGTH = 12, /* bytes that the length does not count */
  MAGIC = 2,
  RECORD_SIZE_MIN = 7,
  VARINT_SIZE_MAX = 10,
};

/* --- numbers --- */

static uint64_t big_endian(const uint8_t *at, int size) {
  uint64_t value = 0;
  for (int i = 0; i < size; i++) value = value << 8 | at[i];
  return value;
}

static void put_big_endian(uint8_t *at, uint64_t value, int size) {
  for (int i = size; i--; value >>= 8) at[i] = (uint8_t)value;
}

/* What is left of a buffer. */
typedef struct span {
  const uint8_t *at, *end;
} span;

static inline bool read_varint(span *left, int64_t *out) {
  uint64_t value = 0;
  for (int shift = 0; shift < 7 * VARINT_SIZE_MAX && left->at < left->end; shift += 7) {
    const uint8_t byte = *left->at++;
    value |= (uint64_t)(byte & 127) << shift;
    if (byte < 128) {
      *out = (int64_t)(value >> 1 ^ (0 - (value & 1)));
      return true;
    }
  }
  return false;
}

static inline uint64_t zigzag(int64_t value) { return (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0); }

static inline int varint_size(int64_t value) { return (63 - __builtin_clzll(zigzag(value) | 1)) / 7 + 1; }

static inline uint8_t *put_varint(uint8_t *at, int64_t value) {
  uint64_t left = zigzag(value);
  for (; left > 127; left >>= 7) *at++ = (uint8_t)(left | 128);
  *at++ = (uint8_t)left;
  return at;
}

/* --- reading --- */

/* Reads a length and steps over the bytes; a negative length says that there is no such thing. */
static inline bool read_bytes(span *left, const uint8_t **at, int64_t *size) {
  if (!read_varint(left, size)) return false;
  *at = left->at;
  if (*size < 0) {
    *size = -1;
    return true;
  }
  if (*size > left->end - left->at) return false;
  left->at += *size;
  return true;
}

static bool read_headers(span *left) {
  int64_t count, size;
  const uint8_t *at;
  if (!read_varint(left, &count) || count < 0) return false;
  for (; count; count--) /* each takes two bytes at least, so that the end comes first however large the count is */
    if (!read_bytes(left, &at, &size) || size < 0 || !read_bytes(left, &at, &size)) return false;
  return true;
}

typedef struct record {
  int64_t timestamp_delta, offset_delta, key_size, value_size;
  const uint8_t *key, *value, *headers, *end;
} record;

static inline bool read_record(span *left, record *out) {
  int64_t size;
  if (!read_varint(left, &size) || size < 1 || size > left->end - left->at) return false;
  span own = {left->at + 1, left->at + size}; /* behind the attributes, which say nothing */
  if (!read_varint(&own, &out->timestamp_delta) || !read_varint(&own, &out->offset_delta) ||
      !read_bytes(&own, &out->key, &out->key_size) || !read_bytes(&own, &out->value, &out->value_size))
    return false;
  out->headers = own.at;
  if (!read_headers(&own) || own.at != own.end) return false;
  out->end = left->at = own.end;
  return true;
}

/* What the marker of a transaction says is in the key of its one record: version 2, type 2. A log that was compacted may
 * have left the batch without it. */
static int32_t read_marker(const uint8_t *buffer, seg_batch *batch) {
  span left = {buffer + batch->records_at, buffer + batch->records_at + batch->records_size};
  record marker;
  batch->marker = SEG_NO_MARKER;
  if (!(batch->attributes & SEG_BATCH_CONTROL) || batch->record_count == 0) return SEG_OK;
  if (batch->attributes & SEG_BATCH_CODEC || !read_record(&left, &marker) || marker.key_size < 4) return SEG_DAMAGED;
  if (big_endian(marker.key, 2) == 0) batch->marker = (int16_t)big_endian(marker.key + 2, 2);
  return SEG_OK;
}

static int32_t read_batch(const uint8_t *buffer, int64_t at, int64_t size, int32_t crc_kind, seg_batch *out) {
  const uint8_t *header = buffer + at;
  if (header[MAGIC_AT] != MAGIC) return SEG_UNKNOWN;
  if (size < HEADER_SIZE) return SEG_DAMAGED;
  if (crc_kind != SEG_CRC_NONE &&
      seg_crc32c(header + ATTRIBUTES_AT, size - ATTRIBUTES_AT, crc_kind) != big_endian(header + CRC_AT, 4))
    return SEG_DAMAGED;
  const int64_t last_delta = (int32_t)big_endian(header + LAST_DELTA_AT, 4);
  *out = (seg_batch){
      .base_offset = (int64_t)big_endian(header, 8),
      .base_timestamp_ms = (int64_t)big_endian(header + BASE_TIMESTAMP_AT, 8),
      .max_timestamp_ms = (int64_t)big_endian(header + MAX_TIMESTAMP_AT, 8),
      .producer_id = (int64_t)big_endian(header + PRODUCER_ID_AT, 8),
      .records_at = at + HEADER_SIZE,
      .records_size = size - HEADER_SIZE,
      .record_count = (int32_t)big_endian(header + COUNT_AT, 4),
      .base_sequence = (int32_t)big_endian(header + BASE_SEQUENCE_AT, 4),
      .producer_epoch = (int16_t)big_endian(header + PRODUCER_EPOCH_AT, 2),
      .attributes = (uint16_t)big_endian(header + ATTRIBUTES_AT, 2),
      .is_chosen = 1,
  };
  if (out->base_offset < 0 || last_delta < 0 || out->base_offset > INT64_MAX - 1 - last_delta) return SEG_DAMAGED;
  if (out->record_count < 0 || out->record_count > last_delta + 1) return SEG_DAMAGED;
  out->last_offset = out->base_offset + last_delta;
  return read_marker(buffer, out);
}

int64_t seg_find_batches(const uint8_t *buffer, int64_t size, int32_t crc_kind, seg_batch *out, int64_t room) {
  int64_t count = 0;
  for (int64_t at = 0; size - at > MAGIC_AT;) {
    const int64_t length = BEFORE_LENGTH + (int64_t)(int32_t)big_endian(buffer + at + LENGTH_AT, 4);
    if (length > size - at) break; /* cut off */
    if (length <= MAGIC_AT) return SEG_DAMAGED;
    if (count == room) return SEG_NO_ROOM;
    const int32_t status = read_batch(buffer, at, length, crc_kind, out + count);
    if (status != SEG_OK) return status;
    if (count && out[count].base_offset <= out[count - 1].last_offset) return SEG_DAMAGED;
    count++;
    at += length;
  }
  return count;
}

/* Columns that begin at a number of records. */
typedef struct columns {
  int64_t *of[SEG_RECORD_COLUMNS];
} columns;

static columns columns_of(int64_t *out, int64_t stride) {
  columns all;
  for (int i = 0; i < SEG_RECORD_COLUMNS; i++) all.of[i] = out + i * stride;
  return all;
}

static void tell_record(const columns *out, int64_t n, const uint8_t *buffer, const seg_batch *batch, const record *r) {
  const uint64_t created = (uint64_t)batch->base_timestamp_ms + (uint64_t)r->timestamp_delta;
  const bool is_appended = batch->attributes & SEG_BATCH_APPEND_TIME;
  out->of[SEG_RECORD_OFFSET][n] = batch->base_offset + r->offset_delta;
  out->of[SEG_RECORD_TIMESTAMP][n] = is_appended ? batch->max_timestamp_ms : (int64_t)created;
  out->of[SEG_RECORD_KEY_AT][n] = r->key - buffer;
  out->of[SEG_RECORD_KEY_SIZE][n] = r->key_size;
  out->of[SEG_RECORD_VALUE_AT][n] = r->value - buffer;
  out->of[SEG_RECORD_VALUE_SIZE][n] = r->value_size;
  out->of[SEG_RECORD_HEADERS_AT][n] = r->headers - buffer;
  out->of[SEG_RECORD_HEADERS_SIZE][n] = r->end - r->headers;
}

/* Returns the number of records after those of this batch. */
static int64_t read_records_of(const uint8_t *buffer, const seg_batch *batch, int64_t first_offset, const columns *out,
                               int64_t count, int64_t room) {
  span left = {buffer + batch->records_at, buffer + batch->records_at + batch->records_size};
  const int64_t last_delta = batch->last_offset - batch->base_offset;
  int64_t before = -1;
  record found;
  for (int32_t i = 0; i < batch->record_count; i++) {
    if (!read_record(&left, &found) || found.offset_delta <= before || found.offset_delta > last_delta)
      return SEG_DAMAGED;
    before = found.offset_delta;
    if (batch->base_offset + found.offset_delta < first_offset) continue;
    if (count == room) return SEG_NO_ROOM;
    tell_record(out, count++, buffer, batch, &found);
  }
  return left.at == left.end ? count : SEG_DAMAGED;
}

int64_t seg_read_records(const uint8_t *buffer, int64_t size, const seg_batch *batches, int64_t batch_count,
                         int64_t first_offset, int64_t *out, int64_t room) {
  const columns all = columns_of(out, room);
  int64_t count = 0;
  for (const seg_batch *batch = batches; batch < batches + batch_count && count >= 0; batch++) {
    if (!batch->is_chosen) continue;
    if (batch->attributes & SEG_BATCH_CODEC || batch->records_at < 0 || batch->records_at > size ||
        batch->records_size < 0 || batch->records_size > size - batch->records_at || batch->base_offset < 0 ||
        batch->last_offset < batch->base_offset)
      return SEG_OUT_OF_RANGE;
    if (batch->record_count < 0 || batch->record_count > batch->records_size / RECORD_SIZE_MIN) return SEG_DAMAGED;
    count = read_records_of(buffer, batch, first_offset, &all, count, room);
  }
  return count;
}

/* --- writing --- */

/* Whether a part of a record is in the buffer. */
static inline bool is_within(int64_t at, int64_t part_size, int64_t size) {
  return part_size <= 0 || (at >= 0 && at <= size && part_size <= size - at);
}

static bool take_record(const int64_t *records, int64_t stride, int64_t n, const uint8_t *buffer, int64_t size,
                        record *out) {
  const int64_t *column = records + n;
  const int64_t key_at = column[SEG_RECORD_KEY_AT * stride], value_at = column[SEG_RECORD_VALUE_AT * stride];
  const int64_t headers_at = column[SEG_RECORD_HEADERS_AT * stride];
  const int64_t headers_size = column[SEG_RECORD_HEADERS_SIZE * stride];
  out->key_size = column[SEG_RECORD_KEY_SIZE * stride];
  out->value_size = column[SEG_RECORD_VALUE_SIZE * stride];
  if (!is_within(key_at, out->key_size, size) || !is_within(value_at, out->value_size, size) ||
      !is_within(headers_at, headers_size, size) || headers_size < 0)
    return false;
  out->key = out->key_size > 0 ? buffer + key_at : buffer;
  out->value = out->value_size > 0 ? buffer + value_at : buffer;
  out->headers = headers_size ? buffer + headers_at : buffer;
  out->end = out->headers + headers_size;
  return true;
}

static int64_t bytes_size(int64_t size) { return size < 0 ? 1 : varint_size(size) + size; }

/* The length that a record says it has. */
static int64_t record_size(const record *r) {
  const int64_t headers_size = r->end - r->headers;
  return 1 + varint_size(r->timestamp_delta) + varint_size(r->offset_delta) + bytes_size(r->key_size) +
         bytes_size(r->value_size) + (headers_size ? headers_size : 1);
}

static uint8_t *put_bytes(uint8_t *at, const uint8_t *bytes, int64_t size) {
  at = put_varint(at, size < 0 ? -1 : size);
  if (size <= 0) return at;
  memcpy(at, bytes, (size_t)size);
  return at + size;
}

static uint8_t *put_record(uint8_t *at, const record *r, int64_t size) {
  at = put_varint(at, size);
  *at++ = 0;
  at = put_varint(at, r->timestamp_delta);
  at = put_varint(at, r->offset_delta);
  at = put_bytes(at, r->key, r->key_size);
  at = put_bytes(at, r->value, r->value_size);
  const int64_t headers_size = r->end - r->headers;
  if (headers_size)
    memcpy(at, r->headers, (size_t)headers_size);
  else
    *at = 0; /* none of them */
  return at + (headers_size ? headers_size : 1);
}

static void put_header(uint8_t *out, int64_t used, int64_t count, int64_t base_ms, int64_t max_ms) {
  memset(out, 0, HEADER_SIZE);
  put_big_endian(out + LENGTH_AT, (uint64_t)(used - BEFORE_LENGTH), 4);
  put_big_endian(out + BEFORE_LENGTH, UINT32_MAX, 4); /* no leader epoch */
  out[MAGIC_AT] = MAGIC;
  put_big_endian(out + LAST_DELTA_AT, (uint64_t)(count - 1), 4);
  put_big_endian(out + BASE_TIMESTAMP_AT, (uint64_t)base_ms, 8);
  put_big_endian(out + MAX_TIMESTAMP_AT, (uint64_t)max_ms, 8);
  put_big_endian(out + COUNT_AT, (uint64_t)count, 4);
}

int64_t seg_build_batch(const uint8_t *buffer, int64_t size, const int64_t *records, int64_t stride, int64_t first,
                        int64_t limit, uint8_t *out, int64_t room, int64_t *used) {
  if (first < 0 || first >= stride || room < HEADER_SIZE || room > INT32_MAX) return SEG_OUT_OF_RANGE;
  const int64_t *timestamps_ms = records + SEG_RECORD_TIMESTAMP * stride;
  const int64_t base_ms = timestamps_ms[first];
  int64_t max_ms = base_ms, at = HEADER_SIZE, count = 0;
  for (; first + count < stride; count++) {
    record next;
    if (!take_record(records, stride, first + count, buffer, size, &next)) return SEG_OUT_OF_RANGE;
    next.timestamp_delta = (int64_t)((uint64_t)timestamps_ms[first + count] - (uint64_t)base_ms);
    next.offset_delta = count;
    if (next.end - next.headers > room || next.key_size > room || next.value_size > room) { /* sums stay in range */
      if (count) break;
      return SEG_NO_ROOM;
    }
    const int64_t own = record_size(&next), whole = varint_size(own) + own;
    if (count && whole > limit - at) break;
    if (whole > room - at) {
      if (count) break;
      return SEG_NO_ROOM;
    }
    put_record(out + at, &next, own);
    at += whole;
    if (timestamps_ms[first + count] > max_ms) max_ms = timestamps_ms[first + count];
  }
  put_header(out, at, count, base_ms, max_ms);
  *used = at;
  return count;
}

int32_t seg_seal_batch(uint8_t *batch, int64_t size, int64_t producer_id, int32_t producer_epoch, int32_t base_sequence,
                       int32_t is_transactional, int32_t crc_kind) {
  if (size < HEADER_SIZE) return SEG_OUT_OF_RANGE;
  put_big_endian(batch + ATTRIBUTES_AT, is_transactional ? SEG_BATCH_TRANSACTIONAL : 0, 2);
  put_big_endian(batch + PRODUCER_ID_AT, (uint64_t)producer_id, 8);
  put_big_endian(batch + PRODUCER_EPOCH_AT, (uint64_t)producer_epoch, 2);
  put_big_endian(batch + BASE_SEQUENCE_AT, (uint64_t)base_sequence, 4);
  put_big_endian(batch + CRC_AT, seg_crc32c(batch + ATTRIBUTES_AT, size - ATTRIBUTES_AT, crc_kind), 4);
  return SEG_OK;
}
