/* Fetched bytes through the reading of record batches. What was read is built into a batch of its own, which is found
 * and read again: the parts of the records are the same. */
#include "fuzz.h"

#define BATCHES 64
#define ROOM 256

/* Records, and the bytes that they lie in. */
typedef struct held {
  const uint8_t *data;
  int64_t columns[SEG_RECORD_COLUMNS * ROOM];
  int64_t stride;
} held;

static int64_t part(const held *all, int32_t column, int64_t record) {
  return all->columns[column * all->stride + record];
}

static void must_lie_inside(const held *all, int64_t n, int64_t size) {
  for (int64_t i = 0; i < n; i++)
    for (int32_t at = SEG_RECORD_KEY_AT; at < SEG_RECORD_COLUMNS; at += 2) {
      const int64_t bytes = part(all, at + 1, i);
      MUST(bytes <= size);
      if (bytes > 0) MUST(part(all, at, i) >= 0 && part(all, at, i) <= size - bytes);
    }
}

static void must_equal(const held *one, const held *other, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    for (int32_t at = SEG_RECORD_KEY_AT; at < SEG_RECORD_HEADERS_AT; at += 2) {
      const int64_t bytes = part(one, at + 1, i);
      MUST(part(other, at + 1, i) == bytes);
      if (bytes > 0) MUST(memcmp(one->data + part(one, at, i), other->data + part(other, at, i), (size_t)bytes) == 0);
    }
}

static void build_again(held *read, int64_t n, int64_t size) {
  static held again;
  seg_batch batch;
  int64_t used = 0;
  for (int64_t i = 0; i < n; i++) { /* no headers are one byte, their number */
    int64_t *headers = &read->columns[SEG_RECORD_HEADERS_SIZE * read->stride + i];
    if (*headers == 0) *headers = 1;
  }
  const int64_t room = 2 * size + 64 * n + 128;
  uint8_t *built = malloc((size_t)room);
  MUST(built != NULL);
  const int64_t taken = seg_build_batch(read->data, size, read->columns, read->stride, 0, room, built, room, &used);
  if (taken > 0) {
    MUST(used <= room && seg_seal_batch(built, used, 7, 1, 0, 1, SEG_CRC_TABLES) == SEG_OK);
    again.data = exact_copy(built, (size_t)used);
    MUST(seg_find_batches(again.data, used, seg_crc_kind(), &batch, 1) == 1);
    again.stride = taken;
    MUST(seg_read_records(again.data, used, &batch, 1, 0, again.columns, taken) == taken);
    must_equal(read, &again, taken);
    free((void *)again.data);
  }
  free(built);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
  static held read;
  const int64_t size = (int64_t)length;
  seg_batch batches[BATCHES];
  seg_find_batches(data, size, SEG_CRC_TABLES, batches, BATCHES);
  const int64_t count = seg_find_batches(data, size, SEG_CRC_NONE, batches, BATCHES);
  if (count < 0) return 0;
  for (int64_t i = 0; i < count; i++) batches[i].is_chosen = (batches[i].attributes & SEG_BATCH_CODEC) == 0;
  read.data = data;
  read.stride = ROOM;
  const int64_t n = seg_read_records(data, size, batches, count, 0, read.columns, ROOM);
  if (n <= 0) return 0;
  must_lie_inside(&read, n, size);
  read.stride = n;
  MUST(seg_read_records(data, size, batches, count, 0, read.columns, n) == n);
  build_again(&read, n, size);
  return 0;
}
