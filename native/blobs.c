/* Bytes of any size beside a row's numbers: its ledger and its traits.
 *
 * A blob of up to 2,350 bytes lies in a block of a pool, behind its size: blocks of 8 to 128 bytes in steps of 8, and
 * then of a quarter more each, so that little is wasted and a blob that grows by an entry changes its block seldom.
 * What is longer has memory of its own, with an eighth to spare, under a number; numbers are given again. An empty blob
 * is nowhere and takes nothing.
 *
 * Contract: what keeps or replaces a blob takes memory first: where there is none, all is as it was.
 *
 * Bounds: texts of less than 2^31 bytes, which callers see to; fewer than 2^32 - 1 of them. */
#include <stdlib.h>

#include "table.h"

enum { SIZE_BYTES = 2, STEP = 8, STEPS = 16 };
static const uint16_t larger[SEG_BLOB_CLASSES - STEPS] = {160, 200, 248,  312,  392,  488, 616,
                                                          768, 960, 1200, 1504, 1880, 2352};

static uint32_t bytes_of_class(uint32_t class) {
  return class <= STEPS ? STEP * class : larger[class - STEPS - 1];
}

static uint32_t class_of(int64_t size) {
  const int64_t bytes = size + SIZE_BYTES;
  if (size == 0) return SEG_NO_BLOB;
  if (bytes <= STEP * STEPS) return (uint32_t)((bytes + STEP - 1) / STEP);
  uint32_t class = STEPS + 1;
  while (class <= SEG_BLOB_CLASSES && bytes_of_class(class) < bytes) class++;
  return class;
}

void seg_blobs_init(seg_blobs *blobs) {
  for (uint32_t class = 1; class <= SEG_BLOB_CLASSES; class++)
    seg_pool_init(&blobs->pools[class - 1], bytes_of_class(class));
}

void seg_blobs_clear(seg_blobs *blobs) {
  for (int32_t i = 0; i < SEG_BLOB_CLASSES; i++) seg_pool_clear(&blobs->pools[i]);
  for (uint32_t i = 0; i < blobs->long_count; i++) free(blobs->longs[i]);
  free(blobs->longs);
  free(blobs->free_longs);
}

int64_t seg_blobs_bytes(const seg_blobs *blobs) {
  int64_t bytes = blobs->long_bytes;
  for (int32_t i = 0; i < SEG_BLOB_CLASSES; i++) bytes += seg_pool_bytes(&blobs->pools[i]);
  return bytes;
}

static uint8_t *block_of(const seg_blobs *blobs, seg_blob blob) {
  return seg_pool_at(&blobs->pools[blob.class - 1], blob.at);
}

seg_bytes seg_blob_of(const seg_blobs *blobs, seg_blob blob) {
  if (blob.class == SEG_NO_BLOB) return (seg_bytes){NULL, 0};
  if (blob.class == SEG_LONG_BLOB) return (seg_bytes){blobs->longs[blob.at]->data, blobs->longs[blob.at]->size};
  const uint8_t *block = block_of(blobs, blob);
  uint16_t size;
  memcpy(&size, block, sizeof size);
  return (seg_bytes){block + SIZE_BYTES, size};
}

int64_t seg_blob_room(const seg_blobs *blobs, seg_blob blob) {
  if (blob.class == SEG_NO_BLOB) return 0;
  if (blob.class == SEG_LONG_BLOB) return blobs->longs[blob.at]->size;
  return (int64_t)bytes_of_class(blob.class) - SIZE_BYTES;
}

/* --- long ones --- */

static int64_t taken_by(const seg_long_blob *blob) { return (int64_t)sizeof *blob + blob->room; }

static bool grow_longs(seg_blobs *blobs) {
  const uint32_t room = blobs->long_room ? 2 * blobs->long_room : 16;
  if (blobs->long_room > SEG_NO_BLOCK / 2) return false;
  seg_long_blob **longs = realloc(blobs->longs, room * sizeof *longs);
  if (!longs) return false;
  blobs->longs = longs;
  uint32_t *free_longs = realloc(blobs->free_longs, room * sizeof *free_longs);
  if (!free_longs) return false;
  blobs->free_longs = free_longs;
  blobs->long_room = room;
  return true;
}

static bool keep_long(seg_blobs *blobs, seg_bytes data, seg_blob *out) {
  const uint32_t room = (uint32_t)(data.size + data.size / 8);
  if (blobs->free_count == 0 && blobs->long_count == blobs->long_room && !grow_longs(blobs)) return false;
  seg_long_blob *made = malloc(sizeof *made + room);
  if (!made) return false;
  made->size = (uint32_t)data.size;
  made->room = room;
  memcpy(made->data, data.data, (size_t)data.size);
  blobs->long_bytes += taken_by(made);
  *out = (seg_blob){blobs->free_count ? blobs->free_longs[--blobs->free_count] : blobs->long_count++, SEG_LONG_BLOB};
  blobs->longs[out->at] = made;
  return true;
}

static void give_long(seg_blobs *blobs, uint32_t at) {
  blobs->long_bytes -= taken_by(blobs->longs[at]);
  free(blobs->longs[at]);
  blobs->longs[at] = NULL;
  blobs->free_longs[blobs->free_count++] = at;
}

/* --- all --- */

static void write_block(uint8_t *block, seg_bytes data) {
  const uint16_t size = (uint16_t)data.size;
  memmove(block + SIZE_BYTES, data.data, (size_t)data.size);
  memcpy(block, &size, sizeof size);
}

bool seg_blob_keep(seg_blobs *blobs, seg_bytes data, seg_blob *out) {
  *out = (seg_blob){0, class_of(data.size)};
  if (out->class == SEG_NO_BLOB) return true;
  if (out->class == SEG_LONG_BLOB) return keep_long(blobs, data, out);
  out->at = seg_pool_take(&blobs->pools[out->class - 1]);
  if (out->at == SEG_NO_BLOCK) return false;
  write_block(block_of(blobs, *out), data);
  return true;
}

void seg_blob_give(seg_blobs *blobs, seg_blob blob) {
  if (blob.class == SEG_NO_BLOB) return;
  if (blob.class == SEG_LONG_BLOB)
    give_long(blobs, blob.at);
  else
    seg_pool_give(&blobs->pools[blob.class - 1], blob.at);
}

bool seg_blob_has_room(seg_blob blob, int64_t size) {
  return blob.class != SEG_LONG_BLOB && blob.class == class_of(size);
}

bool seg_blob_replace(seg_blobs *blobs, seg_blob *blob, seg_bytes data) {
  const uint32_t class = class_of(data.size);
  if (class == blob->class && class == SEG_LONG_BLOB) {
    seg_long_blob *own = blobs->longs[blob->at];
    if (data.size <= own->room && data.size >= own->room / 2) {
      memmove(own->data, data.data, (size_t)data.size);
      own->size = (uint32_t)data.size;
      return true;
    }
  } else if (class == blob->class) {
    if (class != SEG_NO_BLOB) write_block(block_of(blobs, *blob), data);
    return true;
  }
  seg_blob fresh;
  if (!seg_blob_keep(blobs, data, &fresh)) return false;
  seg_blob_give(blobs, *blob);
  *blob = fresh;
  return true;
}
