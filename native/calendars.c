/* Local days of time zones: when each begins, and which one an instant belongs to.
 *
 * Theory. A local day begins at the first instant that shows its date. Days are counted from 1970-01-01; a zone is a list
 * of runs of days that begin equally far behind (or ahead of) midnight in UTC, made in Python from the tz database. So
 * Havana's day with two midnights begins at the first one, a day whose midnight does not exist begins right behind the
 * gap, and a date that a zone has left out (Apia, 2011-12-30) begins and ends at one instant: nothing belongs to it. Days
 * before the first run and behind the last are as far behind as those.
 *
 * Bounds: runs ascend, and a day begins within two days of midnight in UTC (form.c); so days begin in order, or at one
 * instant, and a day is found within a few of the one that UTC names. */
#include "program.h"

static int64_t begin_s(const seg_zone_run *runs, int32_t count, int64_t day) {
  int32_t low = 0, high = count - 1;
  while (low < high) {
    const int32_t middle = (low + high + 1) / 2;
    if (runs[middle].day <= day)
      low = middle;
    else
      high = middle - 1;
  }
  return day * 86400 - runs[low].behind;
}

int64_t seg_midnight_ms(const seg_program *p, int32_t zone, int64_t day) {
  const seg_zone *z = &p->zones[zone];
  return begin_s(p->runs + z->first_run, z->run_count, day) * SEG_SECOND_MS;
}

int64_t seg_local_day(const seg_program *p, int32_t zone, int64_t at_ms) {
  int64_t day = at_ms / SEG_DAY_MS;
  while (seg_midnight_ms(p, zone, day) > at_ms) day--;
  while (seg_midnight_ms(p, zone, day + 1) <= at_ms) day++;
  return day;
}
