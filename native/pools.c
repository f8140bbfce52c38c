/* Memory of a table: blocks by size class, and an arena of ids.
 *
 * A block that a row has outgrown goes to the free list of its pool and to the next row that needs one of its size; as
 * customers pass through the classes one after the other, few are ever idle. Chunks are never moved or given back: a
 * table shrinks by customers that are removed, of whom there are few.
 *
 * Bounds: numbers of blocks stay below SEG_NO_BLOCK, places in the arena below 2^48; where one would not, or the system
 * has no memory, nothing is changed. */
#include <stdlib.h>

#include "table.h"

void seg_pool_init(seg_pool *pool, uint32_t block_bytes) {
  *pool = (seg_pool){.free = SEG_NO_BLOCK, .block_bytes = block_bytes};
}

static void free_chunks(uint8_t **chunks, uint64_t count) {
  for (uint64_t i = 0; i < count; i++) free(chunks[i]);
  free(chunks);
}

void seg_pool_clear(seg_pool *pool) { free_chunks(pool->chunks, pool->chunk_count); }

/* Adds a chunk to `count` of them; its list is given anew at each power of 2. */
static uint8_t **with_chunk(uint8_t **chunks, uint64_t count, size_t bytes) {
  if ((count & (count - 1)) == 0) {
    uint8_t **longer = realloc(chunks, (count ? 2 * count : 1) * sizeof *longer);
    if (!longer) return NULL;
    chunks = longer;
  }
  chunks[count] = malloc(bytes);
  return chunks;
}

static bool grow_pool(seg_pool *pool) {
  if (pool->chunk_count >= SEG_NO_BLOCK / SEG_CHUNK_BLOCKS) return false;
  uint8_t **chunks = with_chunk(pool->chunks, pool->chunk_count, (size_t)SEG_CHUNK_BLOCKS * pool->block_bytes);
  if (!chunks) return false;
  pool->chunks = chunks;
  if (!chunks[pool->chunk_count]) return false;
  pool->chunk_count++;
  return true;
}

uint32_t seg_pool_take(seg_pool *pool) {
  uint32_t block = pool->free;
  if (block != SEG_NO_BLOCK) {
    memcpy(&pool->free, seg_pool_at(pool, block), sizeof pool->free);
    return block;
  }
  if (pool->used == pool->chunk_count * SEG_CHUNK_BLOCKS && !grow_pool(pool)) return SEG_NO_BLOCK;
  return pool->used++;
}

void seg_pool_give(seg_pool *pool, uint32_t block) {
  memcpy(seg_pool_at(pool, block), &pool->free, sizeof pool->free);
  pool->free = block;
}

int64_t seg_pool_bytes(const seg_pool *pool) {
  return (int64_t)pool->chunk_count * SEG_CHUNK_BLOCKS * pool->block_bytes;
}

uint64_t seg_arena_keep(seg_arena *arena, const uint8_t *text, size_t size) {
  uint64_t place = arena->used;
  const uint64_t left = arena->chunk_count * SEG_ARENA_CHUNK - place;
  if (size > SEG_ARENA_CHUNK) return SEG_NO_PLACE;
  if (size > left || arena->chunk_count == 0) {
    if (arena->chunk_count >= (UINT64_C(1) << 48) / SEG_ARENA_CHUNK) return SEG_NO_PLACE;
    uint8_t **chunks = with_chunk(arena->chunks, arena->chunk_count, SEG_ARENA_CHUNK);
    if (!chunks) return SEG_NO_PLACE;
    arena->chunks = chunks;
    if (!chunks[arena->chunk_count]) return SEG_NO_PLACE;
    place = arena->chunk_count++ * SEG_ARENA_CHUNK;
    arena->dead += left;
  } else if (size == 0 && left == 0) {
    place--; /* an empty text has to lie within a chunk, too */
  }
  if (size) memcpy(arena->chunks[place / SEG_ARENA_CHUNK] + place % SEG_ARENA_CHUNK, text, size);
  if (place + size > arena->used) arena->used = place + size;
  return place;
}

void seg_arena_clear(seg_arena *arena) { free_chunks(arena->chunks, arena->chunk_count); }
