#include "base/item.h"

const char *item_status_name(enum item_status status)
{
    switch (status) {
#define X(value, upper, name, scored, meaning)                                                               \
    case ITEM_##upper:                                                                                       \
        return name;
        ITEM_STATUS_LIST(X)
#undef X
    case ITEM_STATUS_COUNT:
        break;
    }
    return "unknown";
}

const char *item_status_meaning(enum item_status status)
{
    switch (status) {
#define X(value, upper, name, scored, meaning)                                                               \
    case ITEM_##upper:                                                                                       \
        return meaning;
        ITEM_STATUS_LIST(X)
#undef X
    case ITEM_STATUS_COUNT:
        break;
    }
    return "not a status";
}
