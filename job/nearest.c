#include "job/nearest.h"

#include "job/number.h"

#include <string.h>

#define WORD_MAX 63

static int least(int a, int b)
{
    return a < b ? a : b;
}

int nearest_distance(const char *a, const char *b)
{
    int d[WORD_MAX + 1][WORD_MAX + 1];
    int n = (int)strnlen(a, WORD_MAX), m = (int)strnlen(b, WORD_MAX);

    for (int i = 0; i <= n; i++) {
        for (int j = 0; j <= m; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            int changed = a[i - 1] != b[j - 1];
            d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + changed);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    }
    return d[n][m];
}

bool nearest_plausible(const char *given, int distance)
{
    return distance <= 1 + (int)strnlen(given, WORD_MAX) / 4;
}

bool nearest_choice(const char *choices, const char *given, char *word, size_t size)
{
    char candidate[WORD_MAX + 1];
    int best = WORD_MAX;

    for (int i = 0;; i++) {
        choice_name(choices, i, candidate, sizeof(candidate));
        if (candidate[0] == '\0')
            break;
        int distance = nearest_distance(given, candidate);
        if (distance < best) {
            best = distance;
            strncpy(word, candidate, size - 1);
            word[size - 1] = '\0';
        }
    }
    return best < WORD_MAX && nearest_plausible(given, best);
}
