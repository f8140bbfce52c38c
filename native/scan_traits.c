/* Traits: a profile's object of values by name, for the scanner.
 *
 * Theory. What a trait may be is a matter of the catalogue of traits, and whether its name tells something protected
 * one of words; both are decided in Python, once a name. A scanner gets the names that are listed and allowed, with
 * the kinds of value that each may have, and doubts a profile with any other, which may be as sound. What it reads is
 * noted in the order of the names, which is the order in which it is kept, whatever the record's.
 *
 * Names are found by open addressing in a table of twice their number at least, so a search ends at an empty slot.
 *
 * Bounds. TRAITS_MAX of a record, TRAITS_LISTED_MAX of a catalogue, `most` bytes of a record's traits as they are kept.
 * Sorting is by insertion: quadratic in the traits of a record, whose order is mostly the last one's.
 */
#include "scan_times.h"

#include <stdlib.h>

#define LIST_MAX 64 /* texts of a list */

static uint32_t hash_of(const uint8_t *name, size_t size) { /* FNV-1a */
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < size; i++) hash = (hash ^ name[i]) * 16777619u;
  return hash;
}

/* The slot of a name: where it is, or the empty one where it would be. */
static int16_t *slot_of(const seg_trait_table *table, span name) {
  for (uint32_t at = hash_of(name.at, name.size);; at++) {
    int16_t *const slot = &table->slots[at & table->mask];
    if (*slot == NOTHING) return slot;
    const seg_listed_trait *trait = &table->traits[*slot];
    if ((size_t)trait->size == name.size && memcmp(trait->name, name.at, name.size) == 0) return slot;
  }
}

static bool is_date(span text) {
  memory m = {.has_date = false};
  int64_t date_ms;
  return text.size == sizeof m.date && read_date(text.at, &m, &date_ms);
}

static bool is_allowed(const seg_listed_trait *trait, const kept_value *value) {
  if (value->kind == SEG_FIELD_NULL) return true;
  if (!(trait->kinds & (1 << value->kind))) return false;
  return !(trait->kinds & SEG_TRAIT_DATE) || is_date(value->text);
}

/* Reads a value of a trait, which must be one that can be kept. */
static bool read_trait(cursor *c, int64_t levels, const seg_listed_trait *trait, kept_value *out) {
  const bool is_null = c->at < c->end && *c->at == 'n';
  if (!seg_keep_value(c, levels, out) || out->count > LIST_MAX) return false;
  return (out->kind != SEG_FIELD_NULL || is_null) && is_allowed(trait, out);
}

/* Puts the last value in its place among those before it; false if its name is there already. */
static bool sort_last(kept_value *kept, int32_t count) {
  const kept_value last = kept[count - 1];
  int32_t at = count - 1;
  for (; at > 0; at--) {
    const span before = kept[at - 1].name;
    const size_t shared = before.size < last.name.size ? before.size : last.name.size;
    int order = memcmp(before.at, last.name.at, shared);
    if (order == 0) order = (before.size > last.name.size) - (before.size < last.name.size);
    if (order == 0) return false;
    if (order < 0) break;
    kept[at] = kept[at - 1];
  }
  kept[at] = last;
  return true;
}

bool seg_read_traits(const seg_scanner *s, int64_t most, cursor *c, kept_value *kept, int32_t *count) {
  int64_t size = 0;
  if (!s->traits.mask || !take(c, '{')) return false;
  for (*count = 0;;) {
    span name;
    size_t characters;
    skip_space(c);
    if (*count == TRAITS_MAX || !read_string(c, &name, &characters)) return false;
    const int16_t number = *slot_of(&s->traits, name);
    skip_space(c);
    if (number == NOTHING || !take(c, ':')) return false;
    skip_space(c);
    kept_value *const value = &kept[(*count)++];
    *value = (kept_value){.kind = SEG_FIELD_NULL, .name = name};
    if (!read_trait(c, s->levels - 2, &s->traits.traits[number], value)) return false;
    size += seg_kept_size(value);
    if (size > most || !sort_last(kept, *count)) return false;
    skip_space(c);
    if (take(c, '}')) return true;
    if (!take(c, ',')) return false;
  }
}

bool seg_list_traits(seg_trait_table *table, const seg_listed_trait *traits, int64_t count) {
  if (count == 0) return true;
  uint32_t slots = 2;
  while (slots < 2 * (uint32_t)count) slots *= 2;
  table->traits = malloc((size_t)count * sizeof *traits);
  table->slots = malloc(slots * sizeof *table->slots);
  if (!table->traits || !table->slots) return false;
  memcpy(table->traits, traits, (size_t)count * sizeof *traits);
  for (uint32_t i = 0; i < slots; i++) table->slots[i] = NOTHING;
  table->mask = slots - 1;
  for (int64_t i = 0; i < count; i++) {
    if (traits[i].size < 1 || traits[i].size > (int32_t)sizeof traits[i].name) return false;
    int16_t *const slot = slot_of(table, (span){traits[i].name, (size_t)traits[i].size});
    if (*slot != NOTHING) return false;
    *slot = (int16_t)i;
  }
  return true;
}

void seg_unlist_traits(seg_trait_table *table) {
  free(table->traits);
  free(table->slots);
}
