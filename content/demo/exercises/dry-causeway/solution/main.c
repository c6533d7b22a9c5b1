/* For how long a causeway is dry, from the readings of a tide gauge. */
#include <stdio.h>

int main(void) {
  double level;
  int count;
  if (scanf("%lf %d", &level, &count) != 2) return 1;

  double total = 0, longest = 0;
  /* The dry stretch that is under way; none where its end lies before the first reading. */
  double stretch_start = 0, stretch_end = -1;
  double last_minute = 0, last_height = 0;
  for (int index = 0; index < count; index++) {
    double minute, height;
    if (scanf("%lf %lf", &minute, &height) != 2) return 1;
    int was_dry = last_height <= level, is_dry = height <= level;
    if (index > 0 && (was_dry || is_dry)) {
      double start = last_minute, end = minute;
      if (was_dry != is_dry) {
        double crossing = last_minute + (level - last_height) / (height - last_height) * (minute - last_minute);
        if (was_dry) end = crossing;
        else start = crossing;
      }
      total += end - start;
      if (start != stretch_end) stretch_start = start;
      stretch_end = end;
      if (end - stretch_start > longest) longest = end - stretch_start;
    }
    last_minute = minute;
    last_height = height;
  }
  printf("%.9f\n%.9f\n", total, longest);
  return 0;
}
