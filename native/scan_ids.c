/* Ids that the scanner has to look at twice: those beyond ASCII, and those that may stand for nobody.
 *
 * Theory. An id is accepted only in its normal form, see stream_app/contracts/ids.py: nothing here changes one. Of
 * texts beyond ASCII those are certain to be in Unicode's form NFC that consist of characters which never combine with
 * what is before them, are never reordered and never replaced (Unicode Standard Annex 15: a combining class of 0, and
 * NFC_Quick_Check=Yes). Whole blocks of the scripts that ids are written in have no others; `normal` lists them, and
 * what is not in it is doubted. None of it is white space.
 *
 * A placeholder is compared by ASCII's small letters. A text that has others is no placeholder of ASCII alone, as the
 * small form of no normal character beyond ASCII is within it; where the list has one beyond ASCII, all such ids are
 * doubted. What consists of zeros and hyphens is always doubted.
 *
 * Contract. Texts are UTF-8 as read_string leaves it. A filter by first byte and size says which ids are
 * compared at all.
 *
 * Bounds. SEG_PLACEHOLDERS_MAX placeholders of at most 56 bytes.
 */
#include "scan.h"

#define ANY_SIZE UINT64_MAX

typedef struct code_range {
  uint32_t first, last;
} code_range;

/* U+00A0, a space, is left out of the first one; the others are Greek, Cyrillic, Hebrew, Arabic, Chinese, Korean and
 * pictures. */
static const code_range normal[] = {
    {0x00a1, 0x02ff}, {0x0388, 0x03ff}, {0x0400, 0x047f}, {0x04c0, 0x04ff},   {0x05d0, 0x05ff},   {0x0620, 0x064a},
    {0x3041, 0x3096}, {0x30a1, 0x30fe}, {0x4e00, 0x9fff}, {0xac00, 0xd7a3}, {0x1f300, 0x1f64f},
};

/* The code point of a sound sequence that begins with a byte >= 0x80, and its size. */
static uint32_t code_point(const uint8_t *at, size_t *size) {
  *size = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
  uint32_t code = at[0] & (0x7fu >> *size);
  for (size_t i = 1; i < *size; i++) code = code << 6 | (at[i] & 0x3fu);
  return code;
}

static bool is_normal(uint32_t code) {
  for (size_t i = 0; i < sizeof normal / sizeof *normal; i++)
    if (code >= normal[i].first && code <= normal[i].last) return true;
  return false;
}

bool seg_is_certainly_normal(span id) {
  const uint8_t *p = id.at, *const end = id.at + id.size;
  while (p < end) {
    size_t size = 1;
    if (*p >= 0x80 && !is_normal(code_point(p, &size))) return false;
    p += size;
  }
  return true;
}

static uint8_t small(uint8_t byte) { return byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte; }

static bool is_made_of_zeros(span id) {
  for (size_t i = 0; i < id.size; i++)
    if (id.at[i] != '0' && id.at[i] != '-') return false;
  return true;
}

static bool is_word(const seg_word *word, span id) {
  if ((size_t)word->size != id.size) return false;
  for (size_t i = 0; i < id.size; i++)
    if (small(id.at[i]) != word->text[i]) return false;
  return true;
}

static bool is_ascii(span text) {
  for (size_t i = 0; i < text.size; i++)
    if (text.at[i] >= 0x80) return false;
  return true;
}

bool seg_is_placeholder(const seg_scanner *s, span id) {
  if (is_made_of_zeros(id) || (s->doubts_foreign && !is_ascii(id))) return true;
  for (uint32_t i = 0; i < s->placeholder_count; i++)
    if (is_word(&s->placeholders[i], id)) return true;
  return false;
}

/* Ids with a letter beyond ASCII, of whatever size, are all compared from then on. */
static void doubt_foreign(seg_scanner *s) {
  s->doubts_foreign = true;
  for (size_t first = 0; first < sizeof s->placeholder_sizes / sizeof *s->placeholder_sizes; first++)
    s->placeholder_sizes[first] = ANY_SIZE;
}

bool seg_list_placeholders(seg_scanner *s, const seg_word *placeholders, int64_t count) {
  s->placeholder_sizes['0'] = s->placeholder_sizes['-'] = ANY_SIZE;
  for (int64_t i = 0; i < count; i++) {
    const seg_word *word = &placeholders[i];
    if (word->size < 1 || word->size > (int32_t)sizeof word->text) return false;
    const uint8_t first = word->text[0], capital = first >= 'a' && first <= 'z' ? first & 0xdf : first;
    s->placeholder_sizes[first] |= UINT64_C(1) << word->size;
    s->placeholder_sizes[capital] |= UINT64_C(1) << word->size;
    s->placeholders[i] = *word;
    if (!is_ascii((span){word->text, (size_t)word->size})) doubt_foreign(s);
  }
  s->placeholder_count = (uint32_t)count;
  return true;
}
