/* SPDX-License-Identifier: MIT */
/*
 * handle.h: what the typed handles of broadcast.h and watch.h are made of: an untyped handle, and a pointer to the type of its values
 * in the same place, of which only the type is ever used. So a handle has the size of the untyped one, and the value of
 * another type does not compile. C only.
 */
#ifndef TROUPE_HANDLE_H
#define TROUPE_HANDLE_H

#include <troupe/actor.h>

#define TR_COUNTED_LIMIT 64 /* bytes of a value that is cloned and dropped */

#ifndef __cplusplus

#define TRI_HANDLE_TYPE(tag, raw, ...)                                                                                 \
    struct tag {                                                                                                       \
        union {                                                                                                        \
            raw tri_raw;                                                                                               \
            __typeof__(__VA_ARGS__) *tri_value;                                                                        \
        };                                                                                                             \
    }

/* The untyped handle of a typed one, or of the one that a pointer points to. Refuses handles of actors. */
#define TRI_RAW(handle)                                                                                                \
    __extension__({                                                                                                    \
        __auto_type tri_h = (handle);                                                                                  \
        (void)sizeof(tri_h.tri_value);                                                                                 \
        tri_h.tri_raw;                                                                                                 \
    })
#define TRI_RAW_OF(pointer)                                                                                            \
    __extension__({                                                                                                    \
        __auto_type tri_h = (pointer);                                                                                 \
        (void)sizeof(tri_h->tri_value);                                                                                \
        &tri_h->tri_raw;                                                                                               \
    })

#endif /* __cplusplus */
#endif
