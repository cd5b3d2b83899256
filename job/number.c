#include "job/number.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* strtoull takes signs, spaces and wraps "-1" round: none of that here. */
static bool parse_digits(const char *text, size_t length, uint64_t *value)
{
    uint64_t sum = 0;

    if (length == 0 || strspn(text, "0123456789") < length)
        return false;
    for (size_t i = 0; i < length; i++) {
        if (__builtin_mul_overflow(sum, (uint64_t)10, &sum) ||
            __builtin_add_overflow(sum, (uint64_t)(text[i] - '0'), &sum))
            return false;
    }
    *value = sum;
    return true;
}

bool number_parse_u64(const char *text, uint64_t *value)
{
    return parse_digits(text, strlen(text), value);
}

bool number_parse_scaled(const char *text, uint64_t unit, uint64_t *value)
{
    static const char suffixes[] = "kKmMgGtT";
    size_t length = strlen(text);
    const char *suffix = length == 0 ? NULL : strchr(suffixes, text[length - 1]);
    uint64_t number;

    if (!parse_digits(text, suffix == NULL ? length : length - 1, &number))
        return false;
    for (long power = suffix == NULL ? 0 : (suffix - suffixes) / 2 + 1; power > 0; power--) {
        if (__builtin_mul_overflow(number, unit, &number))
            return false;
    }
    *value = number;
    return true;
}

static const struct {
    char suffix;
    uint64_t seconds;
} time_units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};

#define N_TIME_UNITS (sizeof(time_units) / sizeof(time_units[0]))

bool number_parse_time(const char *text, uint64_t *value_s)
{
    size_t length = strlen(text);
    uint64_t number, unit = 0;

    for (size_t i = 0; length > 0 && i < N_TIME_UNITS; i++)
        if (text[length - 1] == time_units[i].suffix)
            unit = time_units[i].seconds;
    if (!parse_digits(text, unit == 0 ? length : length - 1, &number) ||
        __builtin_mul_overflow(number, unit == 0 ? 1 : unit, &number))
        return false;
    *value_s = number;
    return true;
}

void number_format_time(uint64_t value_s, char *text, size_t size)
{
    size_t i = 0;

    while (i < N_TIME_UNITS - 1 && (value_s == 0 || value_s % time_units[i].seconds != 0))
        i++;
    snprintf(text, size, "%llu%c", (unsigned long long)(value_s / time_units[i].seconds),
             time_units[i].suffix);
}

/* Plain decimal notation only: strtod alone would take "nan", "infinity", "0x1p3" and leading spaces. */
static bool is_decimal(const char *text)
{
    return text[0] != '\0' && text[strspn(text, "0123456789.eE+-")] == '\0';
}

bool number_parse_fraction(const char *text, double *value)
{
    char *end;
    size_t length = strlen(text);
    bool percent = length > 0 && text[length - 1] == '%';
    char digits[64];

    if (length - percent >= sizeof(digits))
        return false;
    memcpy(digits, text, length - percent);
    digits[length - percent] = '\0';
    if (!is_decimal(digits))
        return false;
    double number = strtod(digits, &end);
    if (*end != '\0' || !isfinite(number))
        return false;
    *value = percent ? number / 100 : number;
    return true;
}

bool number_parse_float(const char *text, float *value)
{
    char *end;

    if (!is_decimal(text))
        return false;
    float number = strtof(text, &end);
    if (*end != '\0' || !isfinite(number))
        return false;
    *value = number;
    return true;
}

void number_format_scaled(uint64_t value, uint64_t unit, char *text, size_t size)
{
    static const char *const suffixes[] = {"", "k", "M", "G", "T"};
    size_t power = 0;

    if (unit == 1000 && value < 1000000) /* 1000 reads better than 1k */
        unit = 1000000000000000000;
    while (value != 0 && value % unit == 0 && power + 1 < sizeof(suffixes) / sizeof(suffixes[0])) {
        value /= unit;
        power++;
    }
    snprintf(text, size, "%llu%s", (unsigned long long)value, suffixes[power]);
}

void number_format_fraction(double value, char *text, size_t size)
{
    double back;

    for (int places = 0; places <= 20; places++) {
        snprintf(text, size, "%.*f%%", places, value * 100);
        if (number_parse_fraction(text, &back) && back == value)
            return;
    }
    snprintf(text, size, "%.17g", value);
}

int choice_find(const char *choices, const char *word)
{
    size_t length = strlen(word);

    for (int index = 0; length > 0; index++) {
        size_t n = strcspn(choices, "|");
        if (n == length && memcmp(choices, word, n) == 0)
            return index;
        if (choices[n] == '\0')
            break;
        choices += n + 1;
    }
    return -1;
}

void choice_name(const char *choices, int index, char *text, size_t size)
{
    while (index > 0 && choices != NULL) {
        choices = strchr(choices, '|');
        if (choices != NULL)
            choices++;
        index--;
    }
    if (choices == NULL || index < 0)
        choices = "";
    snprintf(text, size, "%.*s", (int)strcspn(choices, "|"), choices);
}
