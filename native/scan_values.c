/* Values beyond the contract's own fields: what nobody reads is skipped, what is asked for by a path is kept.
 *
 * Theory. Conditions look at fields that the event itself does not have. Their paths, such as `channel` and
 * `properties.page.path`, are laid out as trees of keys, one for each field that holds a free object, so that a key is
 * compared only with those that may follow where the reading is. What is found is noted under its path, and written behind the event's texts in
 * the order of the paths, not of the record: the same bytes as stream_app/core/kept.py makes.
 *
 * A number is kept if its double is certain (Clinger, "How to read floating point numbers accurately"): up to 15
 * digits are an integer that a double holds exactly, as it does the powers of ten up to 10^22, so that one
 * multiplication or division rounds once. Other numbers, and texts with escapes, are doubted where they are asked for.
 * What has no form to be kept in, such as an object or a long text, is left out here as there.
 *
 * Bounds. Trees have NODES_MAX nodes, as paths have at most LEVELS_MAX keys. Recursion ends at LEVELS_MAX. What is kept
 * of a record has at most KEPT_MAX bytes; a field that would go beyond is left out.
 */
#include "scan.h"

#define KEPT_MAX 65535
#define HEAD_SIZE 4 /* size of the name, kind, size of the value */
#define EXACT_DIGITS_MAX 15
#define EXACT_POWER_MAX 22

/* --- reading --- */

static bool read_value(const seg_scanner *s, cursor *c, int64_t levels, int16_t tree, kept_value *kept);

/* The node of a key among those that may stand here, NOTHING if nobody asks for it. */
static int16_t find_key(const seg_scanner *s, int16_t tree, span key) {
  for (int16_t node = tree; node != NOTHING; node = s->nodes[node].next)
    if ((size_t)s->nodes[node].size == key.size && memcmp(s->nodes[node].key, key.at, key.size) == 0) return node;
  return NOTHING;
}

/* A list or an object within `levels` levels; the cursor stands behind its bracket. */
static bool read_children(const seg_scanner *s, cursor *c, int64_t levels, uint8_t bracket, int16_t tree,
                          kept_value *kept) {
  key_set set;
  set.count = 0;
  if (levels == 0) return false;
  skip_space(c);
  if (take(c, bracket)) return true;
  for (;;) {
    int16_t node = NOTHING;
    skip_space(c);
    if (bracket == '}') {
      span key;
      size_t characters;
      if (!read_string(c, &key, &characters) || !add_key(&set, key)) return false;
      if (tree != NOTHING) node = find_key(s, tree, key);
      skip_space(c);
      if (!take(c, ':')) return false;
      skip_space(c);
    }
    if (node == NOTHING ? !seg_skip_value(c, levels - 1) : !read_value(s, c, levels - 1, node, kept)) return false;
    skip_space(c);
    if (take(c, bracket)) return true;
    if (!take(c, ',')) return false;
  }
}

static bool skip_number(cursor *c) {
  if (!read_number(c, NUMBER_DIGITS_MAX)) return false;
  if (!take(c, 'e') && !take(c, 'E')) return true;
  if (!take(c, '-')) take(c, '+');
  const size_t digits = skip_digits(c);
  return digits >= 1 && digits <= EXPONENT_DIGITS_MAX;
}

bool seg_skip_value(cursor *c, int64_t levels) {
  span text;
  size_t characters;
  if (c->at >= c->end) return false;
  switch (*c->at) {
    case '"': return read_raw_string(c, true, &text, &characters);
    case 't': return take_word(c, "true", 4);
    case 'f': return take_word(c, "false", 5);
    case 'n': return take_word(c, "null", 4);
    case '[': c->at++; return read_children(NULL, c, levels, ']', NOTHING, NULL);
    case '{': c->at++; return read_children(NULL, c, levels, '}', NOTHING, NULL);
    default: return skip_number(c);
  }
}

/* --- values that are kept --- */

/* A number whose double is certain; of zero, without its sign. */
static bool read_double(cursor *c, double *out) {
  static const double powers[EXACT_POWER_MAX + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                     1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                     1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  const uint8_t *const start = c->at;
  if (!skip_number(c)) return false;
  int64_t whole = 0;
  int32_t digits = 0, fraction = 0, exponent = 0;
  bool in_fraction = false, is_negative = false;
  const uint8_t *p = start;
  if (*p == '-') p++;
  for (; p < c->at && (is_digit(*p) || *p == '.'); p++) {
    if (*p == '.') {
      in_fraction = true;
      continue;
    }
    digits += digits > 0 || *p != '0';
    if (digits > EXACT_DIGITS_MAX) return false;
    whole = whole * 10 + (*p - '0');
    fraction += in_fraction;
  }
  if (p < c->at) { /* at the e */
    p++;
    is_negative = *p == '-';
    if (!is_digit(*p)) p++;
    for (; p < c->at; p++) exponent = exponent * 10 + (*p - '0');
  }
  const int32_t power = (is_negative ? -exponent : exponent) - fraction;
  *out = 0.0;
  if (whole == 0) return true;
  if (power > EXACT_POWER_MAX || power < -EXACT_POWER_MAX) return false;
  const double size = power < 0 ? (double)whole / powers[-power] : (double)whole * powers[power];
  *out = *start == '-' ? -size : size;
  return true;
}

static bool keep_text(cursor *c, kept_value *out) {
  size_t characters;
  if (!read_string(c, &out->text, &characters)) return false;
  if (characters <= KEPT_TEXT_MAX) out->kind = SEG_FIELD_TEXT;
  return true;
}

/* A list: kept if it holds nothing but texts that are not too long. The cursor stands behind its bracket. */
static bool keep_list(cursor *c, int64_t levels, kept_value *out) {
  const uint8_t *const start = c->at;
  bool are_texts = true;
  size_t size = 0;
  int32_t count = 0;
  if (levels == 0) return false;
  skip_space(c);
  bool is_over = take(c, ']');
  while (!is_over) {
    kept_value element = {.kind = SEG_FIELD_NULL};
    skip_space(c);
    const bool is_text = c->at < c->end && *c->at == '"';
    if (is_text ? !keep_text(c, &element) : !seg_skip_value(c, levels - 1)) return false;
    are_texts = are_texts && element.kind == SEG_FIELD_TEXT;
    size += sizeof(uint16_t) + element.text.size;
    count++;
    skip_space(c);
    is_over = take(c, ']');
    if (!is_over && !take(c, ',')) return false;
  }
  if (!are_texts) return true;
  out->kind = SEG_FIELD_TEXTS;
  out->count = count;
  out->text = (span){start, (size_t)(c->at - 1 - start)};
  out->size = size;
  return true;
}

bool seg_keep_value(cursor *c, int64_t levels, kept_value *out) {
  if (c->at >= c->end) return false;
  switch (*c->at) {
    case '"': return keep_text(c, out);
    case 't': out->kind = SEG_FIELD_TRUE; return take_word(c, "true", 4);
    case 'f': out->kind = SEG_FIELD_FALSE; return take_word(c, "false", 5);
    case 'n': return take_word(c, "null", 4);
    case '[': c->at++; return keep_list(c, levels, out);
    case '{': return seg_skip_value(c, levels);
    default: out->kind = SEG_FIELD_NUMBER; return read_double(c, &out->number);
  }
}

/* The value of a key that somebody asks for, or that leads on. */
static bool read_value(const seg_scanner *s, cursor *c, int64_t levels, int16_t node, kept_value *kept) {
  const seg_node *n = &s->nodes[node];
  if (n->child != NOTHING && c->at < c->end && *c->at == '{') {
    c->at++;
    return read_children(s, c, levels, '}', n->child, kept);
  }
  return n->path == NOTHING ? seg_skip_value(c, levels) : seg_keep_value(c, levels, &kept[n->path]);
}

bool seg_keep_field(const seg_scanner *s, uint32_t field, cursor *c, kept_value *kept) {
  const seg_field *f = &s->fields[field];
  if (f->reads != SEG_READS_OBJECT) return seg_keep_value(c, s->levels - 1, &kept[s->path_of_field[field]]);
  return take(c, '{') && read_children(s, c, s->levels - 1, '}', s->tree_of_field[field], kept);
}

/* --- writing --- */

static void put_u16(uint8_t *out, size_t value) {
  out[0] = (uint8_t)value;
  out[1] = (uint8_t)(value >> 8);
}

/* The texts of a list, as it is written: without escapes, a quote begins or ends one. */
static void put_texts(span list, uint8_t *out) {
  const uint8_t *p = list.at, *const end = list.at + list.size;
  while (p < end && (p = memchr(p, '"', (size_t)(end - p)))) {
    const uint8_t *const start = p + 1;
    p = memchr(start, '"', (size_t)(end - start));
    const size_t size = (size_t)(p - start);
    put_u16(out, size);
    memcpy(out + sizeof(uint16_t), start, size);
    out += sizeof(uint16_t) + size;
    p++;
  }
}

static size_t value_size(const kept_value *value) {
  switch (value->kind) {
    case SEG_FIELD_NUMBER: return sizeof value->number;
    case SEG_FIELD_TEXT: return value->text.size;
    case SEG_FIELD_TEXTS: return value->size;
    default: return 0;
  }
}

static bool is_type(const seg_scanner *s, const seg_kept_path *path) {
  const int32_t reads = s->fields[path->field].reads;
  return reads == SEG_READS_WORD || reads == SEG_READS_TYPE;
}

/* Writes one field; there is room for it. */
static void put_field(span name, const kept_value *value, size_t size, uint8_t *at) {
  uint8_t *const own = at + HEAD_SIZE + name.size;
  at[0] = (uint8_t)name.size;
  at[1] = (uint8_t)value->kind;
  put_u16(at + 2, size);
  memcpy(at + HEAD_SIZE, name.at, name.size);
  if (value->kind == SEG_FIELD_NUMBER) memcpy(own, &value->number, size);
  else if (value->kind == SEG_FIELD_TEXT) memcpy(own, value->text.at, size);
  else if (value->kind == SEG_FIELD_TEXTS) put_texts(value->text, own);
}

int64_t seg_put_kept(const seg_scanner *s, const kept_value *kept, span type, uint8_t *out, int64_t room) {
  int64_t written = 0;
  for (int32_t i = 0; i < s->path_count; i++) {
    const seg_kept_path *path = &s->paths[i];
    const kept_value own_type = {.kind = SEG_FIELD_TEXT, .text = type};
    const kept_value *const value = is_type(s, path) ? &own_type : &kept[i];
    const span name = {path->text, (size_t)path->size};
    const size_t size = value_size(value);
    if (value->kind == SEG_FIELD_NULL || size > KEPT_MAX) continue;
    const int64_t whole = (int64_t)(HEAD_SIZE + name.size + size);
    if (whole > KEPT_MAX - written) continue;
    if (whole > room - written) return SEG_NO_ROOM;
    put_field(name, value, size, out + written);
    written += whole;
  }
  return written;
}

int64_t seg_kept_size(const kept_value *trait) {
  return (int64_t)(HEAD_SIZE + trait->name.size + value_size(trait));
}

int64_t seg_put_traits(const kept_value *traits, int32_t count, uint8_t *out, int64_t room) {
  int64_t written = 0;
  for (int32_t i = 0; i < count; i++) {
    const int64_t whole = seg_kept_size(&traits[i]);
    if (whole > room - written) return SEG_NO_ROOM;
    put_field(traits[i].name, &traits[i], value_size(&traits[i]), out + written);
    written += whole;
  }
  return written;
}

/* --- paths --- */

/* The node of a key among its siblings, a new one if there was none; NOTHING where there is no room. */
static int16_t add_node(seg_scanner *s, int16_t *first, const uint8_t *key, int32_t size) {
  const int16_t found = find_key(s, *first, (span){key, (size_t)size});
  if (found != NOTHING) return found;
  if (s->node_count == NODES_MAX) return NOTHING;
  const int16_t node = (int16_t)s->node_count++;
  s->nodes[node] = (seg_node){.key = key, .size = size, .path = NOTHING, .child = NOTHING, .next = *first};
  return *first = node;
}

/* Adds the keys behind a field's name to its tree; each begins with a dot. */
static bool add_keys(seg_scanner *s, int16_t number, const uint8_t *at, const uint8_t *end) {
  int16_t *first = &s->tree_of_field[s->paths[number].field], node = NOTHING;
  while (at < end) {
    if (*at++ != '.') return false;
    const uint8_t *dot = at < end ? memchr(at, '.', (size_t)(end - at)) : NULL;
    if (!dot) dot = end;
    if (dot == at || (node = add_node(s, first, at, (int32_t)(dot - at))) == NOTHING) return false;
    first = &s->nodes[node].child;
    at = dot;
  }
  if (node == NOTHING || s->nodes[node].path != NOTHING) return false;
  s->nodes[node].path = number;
  return true;
}

bool seg_lay_paths(seg_scanner *s) {
  for (uint32_t i = 0; i < SEG_FIELDS_MAX; i++) s->path_of_field[i] = s->tree_of_field[i] = NOTHING;
  for (uint32_t i = 0; i < s->field_count; i++)
    if (s->fields[i].reads == SEG_READS_TRAITS) s->kept |= UINT32_C(1) << i;
  for (int16_t i = 0; i < s->path_count; i++) {
    const seg_kept_path *path = &s->paths[i];
    if (path->field < 0 || path->field >= (int32_t)s->field_count) return false;
    const seg_field *field = &s->fields[path->field];
    if (path->size < field->name_size || path->size > (int32_t)sizeof path->text - 1) return false;
    if (memcmp(path->text, field->name, (size_t)field->name_size) != 0) return false;
    const bool has_form = field->reads != SEG_READS_TIME && field->reads != SEG_READS_AMOUNT;
    if (!has_form || field->reads == SEG_READS_TRAITS) return false;
    s->kept |= UINT32_C(1) << path->field;
    if (field->reads == SEG_READS_OBJECT) {
      if (!add_keys(s, i, path->text + field->name_size, path->text + path->size)) return false;
    } else if (path->size != field->name_size || s->path_of_field[path->field] != NOTHING) {
      return false;
    } else {
      s->path_of_field[path->field] = i;
    }
  }
  return true;
}
