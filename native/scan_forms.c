/* Descriptions of topics for the scanner: whether what Python says of fields, words, currencies and paths makes events.
 * Everything is checked once, here, so that reading a record need not.
 */
#include "scan.h"

#include <stdlib.h>

#define MINOR_DIGITS_MAX 6

static bool is_field(const seg_field *f) {
  static const int64_t highest[] = {
      [SEG_READS_TEXT] = TEXT_MAX,      [SEG_READS_TIME] = 0,
      [SEG_READS_WORD] = 0,             [SEG_READS_TYPE] = TEXT_MAX,
      [SEG_READS_CURRENCY] = 0,         [SEG_READS_AMOUNT] = 0,
      [SEG_READS_COUNT] = INT64_MAX,    [SEG_READS_NUMBER] = NUMBER_DIGITS_MAX,
      [SEG_READS_TEXTS] = INT64_C(1) << 32, [SEG_READS_OBJECT] = 0,
      [SEG_READS_TRAITS] = UINT16_MAX,
  };
  if (f->name_size < 1 || f->name_size > (int32_t)sizeof f->name) return false;
  for (int32_t i = 0; i < f->name_size; i++)
    if (f->name[i] < 0x20 || f->name[i] > 0x7e || f->name[i] == '"' || f->name[i] == '\\') return false;
  if (f->reads < SEG_READS_TEXT || f->reads >= SEG_READERS) return false;
  if (f->meaning < SEG_TEXT_OTHER || f->meaning > SEG_TIME_STATED) return false;
  if (f->meaning != SEG_TEXT_OTHER && f->reads != (f->meaning == SEG_TIME_STATED ? SEG_READS_TIME : SEG_READS_TEXT))
    return false;
  return f->most >= 0 && f->most <= highest[f->reads];
}

/* Whether each thing that an event is made of has one field at most, and what it cannot do without has one. */
static bool is_event_complete(const seg_scanner *s) {
  uint32_t readers[SEG_READERS] = {0}, meanings[SEG_TIME_STATED + 1] = {0};
  for (uint32_t i = 0; i < s->field_count; i++) {
    const seg_field *f = &s->fields[i];
    const bool needs_id = f->meaning == SEG_TEXT_EVENT_ID && s->policy.kind != SEG_PROFILE;
    const bool must = needs_id || f->meaning == SEG_TEXT_CUSTOMER_ID ||
                      (f->reads == SEG_READS_TIME && f->meaning == SEG_TEXT_OTHER);
    if (must && !f->required) return false;
    readers[f->reads]++;
    meanings[f->meaning]++;
    for (uint32_t j = 0; j < i; j++)
      if (s->fields[j].name_size == f->name_size && memcmp(s->fields[j].name, f->name, (size_t)f->name_size) == 0)
        return false;
  }
  return readers[SEG_READS_TIME] - meanings[SEG_TIME_STATED] == 1 && meanings[SEG_TIME_STATED] <= 1 && meanings[SEG_TEXT_EVENT_ID] == 1 && meanings[SEG_TEXT_CUSTOMER_ID] == 1 &&
         meanings[SEG_TEXT_ORDER_ID] <= 1 && readers[SEG_READS_WORD] + readers[SEG_READS_TYPE] <= 1 &&
         readers[SEG_READS_CURRENCY] <= 1 && readers[SEG_READS_TRAITS] <= 1 &&
         (readers[SEG_READS_TRAITS] == 0 || s->path_count == 0) &&
         readers[SEG_READS_CURRENCY] == readers[SEG_READS_AMOUNT];
}

static bool is_kind(int32_t kind) {
  return kind == SEG_PURCHASE || kind == SEG_REFUND || kind == SEG_ENGAGEMENT || kind == SEG_PROFILE;
}

static bool are_words(const seg_scanner *s) {
  for (uint32_t i = 0; i < s->word_count; i++) {
    const seg_word *word = &s->words[i];
    if (word->size < 1 || word->size > (int32_t)sizeof word->text) return false;
    if (!is_kind(word->kind) && word->kind != SEG_CANCELLATION) return false;
  }
  return s->policy.absent_word >= -1 && s->policy.absent_word < (int32_t)s->word_count;
}

static bool are_currencies(const seg_scanner *s) {
  for (uint32_t i = 0; i < s->currency_count; i++) {
    const seg_currency *currency = &s->currencies[i];
    if (currency->limit_minor < 0 || currency->numerator < 1 || currency->denominator < 1) return false;
    if (currency->minor_digits < 0 || currency->minor_digits > MINOR_DIGITS_MAX) return false;
  }
  return true;
}

seg_scanner *seg_scanner_new(const seg_field *fields, int64_t field_count, const seg_word *words, int64_t word_count,
                             const seg_currency *currencies, int64_t currency_count, const seg_kept_path *paths,
                             int64_t path_count, const seg_listed_trait *traits, int64_t trait_count,
                             const seg_word *placeholders, int64_t placeholder_count,
                             const seg_scan_policy *policy) {
  if (field_count < 1 || field_count > SEG_FIELDS_MAX || word_count < 0 || word_count > SEG_WORDS_MAX ||
      currency_count < 0 || currency_count > SEG_CURRENCIES_MAX || path_count < 0 || path_count > SEG_PATHS_MAX ||
      trait_count < 0 || trait_count > SEG_TRAITS_LISTED_MAX || placeholder_count < 0 ||
      placeholder_count > SEG_PLACEHOLDERS_MAX || policy->tolerance_ms < 0 ||
      policy->max_depth < 2 || !is_kind(policy->kind))
    return NULL;
  seg_scanner *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  memcpy(s->fields, fields, (size_t)field_count * sizeof *fields);
  if (word_count) memcpy(s->words, words, (size_t)word_count * sizeof *words); /* NULL, where there are none */
  if (currency_count) memcpy(s->currencies, currencies, (size_t)currency_count * sizeof *currencies);
  if (path_count) memcpy(s->paths, paths, (size_t)path_count * sizeof *paths);
  s->path_count = (int32_t)path_count;
  s->policy = *policy;
  s->levels = policy->max_depth < LEVELS_MAX ? policy->max_depth : LEVELS_MAX;
  s->field_count = (uint32_t)field_count;
  s->word_count = (uint32_t)word_count;
  s->currency_count = (uint32_t)currency_count;
  bool is_sound = are_words(s) && are_currencies(s) && seg_list_placeholders(s, placeholders, placeholder_count);
  for (uint32_t i = 0; i < s->field_count; i++) {
    is_sound = is_sound && is_field(&s->fields[i]);
    if (s->fields[i].required) s->required |= UINT32_C(1) << i;
  }
  if (is_sound && is_event_complete(s) && seg_lay_paths(s) && seg_list_traits(&s->traits, traits, trait_count))
    return s;
  seg_scanner_free(s);
  return NULL;
}

void seg_scanner_free(seg_scanner *scanner) {
  if (!scanner) return;
  seg_unlist_traits(&scanner->traits);
  free(scanner);
}
