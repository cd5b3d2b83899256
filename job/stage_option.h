/*
 * The text behind --stage, taken apart.
 *
 *     scan:     NAME=FILE@THRESHOLD[:class=1|300-326|1,5,7-9][:head=softmax|sigmoid][:mean=r,g,b][:std=r,g,b]
 *                                  [:precision=auto|f32|bf16]
 *     verdict:  NAME@THRESHOLD
 *
 * The file ends at the last '@', so its name may hold '@', ':' and '='.
 */
#ifndef EYESORE_JOB_STAGE_OPTION_H
#define EYESORE_JOB_STAGE_OPTION_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#define STAGE_OPTION_NAME_SIZE 32 /* with its NUL; as STAGE_NAME_SIZE of kernels/cascade.h */
#define STAGE_OPTION_CLASS_LIMIT 1000000

enum precision_choice {
    PRECISION_CHOICE_AUTO,
    PRECISION_CHOICE_F32,
    PRECISION_CHOICE_BF16,
    PRECISION_CHOICE_F16
};
#define PRECISION_CHOICES "auto|f32|bf16|f16"

/* Classes first..last, both included. */
struct class_range {
    uint32_t first, last;
};

struct stage_option {
    char *text;                        /* as given; owned */
    char name[STAGE_OPTION_NAME_SIZE]; /* letters, digits, '_', '-', '.' */
    char *file;                        /* owned; NULL for verdict */
    float threshold;                   /* 0..1, rounded to float32 once, here */
    char *class_text;                  /* as given, for class_set_parse; owned; NULL: the network's default */
    struct class_range *classes;       /* [n_classes] ascending, none overlapping; owned; NULL: the default */
    size_t n_classes;
    char *head;            /* "softmax" or "sigmoid"; owned; NULL: the network's default */
    float mean[3], std[3]; /* of pixel values in 0..1; ImageNet's unless given */
    bool has_precision;    /* else --precision holds */
    enum precision_choice precision;
};

struct stage_list {
    struct stage_option *items; /* [n] */
    size_t n;
};

/*
 * Parse one stage and append it. IN where: begins the error message ("--stage", "sweep.ini:7: stage").
 * STATUS_USAGE, with a message that says what was given and what is allowed, also for a name used before or
 * more than STAGES_MAX stages; the list is then as before.
 */
enum status stage_list_add(struct stage_list *list, const char *text, const char *where);

/* The same for NAME@THRESHOLD. */
enum status stage_list_add_threshold(struct stage_list *list, const char *text, const char *where);

void stage_list_free(struct stage_list *list);

#define STAGES_MAX 8 /* as CASCADE_MAX_STAGES of kernels/cascade.h */

#endif
