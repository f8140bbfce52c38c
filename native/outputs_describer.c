/* The texts of many records, one after the other, which keep their size from chunk to chunk.
 *
 * Of each record there are the record itself with a newline behind it, a membership or none, the key of the membership,
 * which ends with the customer's id, and headers: a record is a CloudEvent in Kafka's binary form.
 *
 * Contract: see seg_describe. Bounds: a text checks its room at every addition, and whoever writes looks once a record
 * whether it has failed; sizes that are handed over fit their fields, or the record is refused.
 */
#include "outputs.h"

#include <stdlib.h>

seg_describer *seg_describer_new(void) { return calloc(1, sizeof(seg_describer)); }

void seg_describer_free(seg_describer *describer) {
  if (!describer) return;
  seg_text_free(&describer->records);
  seg_text_free(&describer->memberships);
  seg_text_free(&describer->keys);
  seg_text_free(&describer->headers);
  seg_text_free(&describer->scratch);
  free(describer);
}

void seg_begin(seg_describer *d) {
  seg_text *const texts[] = {&d->records, &d->memberships, &d->keys, &d->headers, &d->scratch};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    texts[i]->size = 0;
    texts[i]->failed = false;
  }
}

bool seg_has_failed(const seg_describer *d) {
  return d->records.failed || d->memberships.failed || d->keys.failed || d->headers.failed || d->scratch.failed;
}

seg_ends seg_ends_of(const seg_describer *d) {
  return (seg_ends){d->records.size, d->memberships.size, d->keys.size, d->headers.size};
}

static void add_varint(seg_text *text, size_t number) {
  uint64_t left = (uint64_t)number << 1; /* zigzag of what is not negative */
  while (left > 127) {
    const uint8_t byte = (uint8_t)((left & 127) | 128);
    seg_add(text, &byte, 1);
    left >>= 7;
  }
  const uint8_t last = (uint8_t)left;
  seg_add(text, &last, 1);
}

static void add_header(seg_text *text, const char *name, seg_span value) {
  add_varint(text, strlen(name));
  seg_add_string(text, name);
  add_varint(text, value.size);
  seg_add_span(text, value);
}

static seg_span span_of(const char *string) { return (seg_span){(const uint8_t *)string, strlen(string)}; }

/* Adds the headers of a record whose id and instant stand in its text already. */
static void add_headers(seg_describer *d, const seg_told *told, const seg_sort *sort, seg_span source, size_t id_at) {
  seg_text *const text = &d->headers;
  if (d->records.failed) return;
  d->scratch.size = 0;
  SEG_ADD(&d->scratch, "com.stream-segmenter.");
  seg_add_string(&d->scratch, sort->name);
  SEG_ADD(&d->scratch, ".");
  seg_add_string(&d->scratch, sort->change);
  if (d->scratch.failed) return;
  add_varint(text, 7);
  add_header(text, "ce_specversion", span_of("1.0"));
  add_header(text, "ce_id", (seg_span){d->records.data + id_at, SEG_ID_DIGITS});
  add_header(text, "ce_type", (seg_span){d->scratch.data, d->scratch.size});
  add_header(text, "ce_source", source);
  add_header(text, "ce_subject", told->customer);
  add_header(text, "ce_time", (seg_span){d->records.data + sort->time.at, sort->time.size});
  add_header(text, "content-type", span_of("application/json"));
}

bool seg_end_record(seg_describer *d, const seg_told *told, const seg_sort *sort, const seg_texts *source,
                    const seg_ends *begin, seg_described *out) {
  const size_t end = d->records.size;
  SEG_ADD(&d->records, "\n");
  seg_add_span(&d->keys, told->p->texts[SEG_PLAIN_NAME]);
  SEG_ADD(&d->keys, "/");
  seg_add_span(&d->keys, told->customer);
  if (end - begin->records > INT32_MAX || d->memberships.size - begin->memberships > INT32_MAX) return false;
  seg_span publisher;
  if (source->count) {
    if (!seg_take_text(source, 0, &publisher)) return false;
    add_headers(d, told, sort, publisher, begin->records + sort->id_at);
  }
  if (d->keys.size - begin->keys > INT32_MAX || d->headers.size - begin->headers > INT32_MAX) return false;
  *out = (seg_described){
      .migration_at = (int64_t)begin->records,
      .membership_at = (int64_t)begin->memberships,
      .key_at = (int64_t)begin->keys,
      .headers_at = (int64_t)begin->headers,
      .migration_size = (int32_t)(end - begin->records),
      .membership_size = (int32_t)(d->memberships.size - begin->memberships),
      .key_size = (int32_t)(d->keys.size - begin->keys),
      .customer_size = (int32_t)told->customer.size,
      .headers_size = (int32_t)(d->headers.size - begin->headers),
  };
  return true;
}

void seg_hand_over(const seg_describer *describer, seg_description *d) {
  d->migrations = describer->records.data;
  d->migrations_size = (int64_t)describer->records.size;
  d->memberships = describer->memberships.data;
  d->memberships_size = (int64_t)describer->memberships.size;
  d->keys = describer->keys.data;
  d->keys_size = (int64_t)describer->keys.size;
  d->headers = describer->headers.data;
  d->headers_size = (int64_t)describer->headers.size;
}
