/* SPDX-License-Identifier: MIT */
/*
 * model_atomic.h: the names of mailbox/atomic.h, given by the explorer.
 *
 * Every use of an operation is a site: a constant record in the section model_sites that says where it stands and with
 * which memory orders it was written. The operation passes its site to the explorer, which decides when it runs and what
 * it reads. Because sites are listed by the linker, the explorer knows also those that no execution reached, and can
 * weaken the orders of one site at a time without compiling again.
 */
#ifndef MODEL_ATOMIC_H
#define MODEL_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

enum model_order { TRI_RELAXED, TRI_ACQUIRE, TRI_RELEASE, TRI_ACQ_REL, TRI_SEQ_CST };

enum model_kind { MODEL_LOAD, MODEL_STORE, MODEL_RMW, MODEL_CAS, MODEL_FENCE, MODEL_SPIN };

enum model_rmw { MODEL_EXCHANGE, MODEL_ADD, MODEL_SUB, MODEL_OR, MODEL_AND };

struct model_site {
    const char *file, *function, *text;
    unsigned line;
    unsigned char kind, order, failure; /* failure: the second order of a compare-and-swap */
};

uint64_t model_load(const struct model_site *site, const volatile void *object, unsigned bytes);
void model_store(const struct model_site *site, volatile void *object, unsigned bytes, uint64_t value);
uint64_t model_rmw(const struct model_site *site, volatile void *object, unsigned bytes, enum model_rmw what,
                   uint64_t operand);
bool model_cas(const struct model_site *site, volatile void *object, unsigned bytes, uint64_t *expected,
               uint64_t desired);
void model_fence(const struct model_site *site);
void model_spin(const struct model_site *site);

#define TRI_ATOMIC(T) _Atomic(T)

#define MODEL_SITE(kind, text, order, failure)                                                                         \
    static const struct model_site model_site_                                                                         \
        __attribute__((section("model_sites"), used, aligned(8))) = { __FILE__, __func__, text,   __LINE__,            \
                                                                      kind,     order,    failure }

/* The type of the value without _Atomic, and a way to carry it in 64 bits. */
#define MODEL_VALUE(pointer)                                                                                           \
    union {                                                                                                            \
        uint64_t bits;                                                                                                 \
        __typeof__((void)0, *(pointer)) value;                                                                         \
    }

#define tri_load(object, order_)                                                                                       \
    __extension__({                                                                                                    \
        MODEL_SITE(MODEL_LOAD, #object, order_, TRI_RELAXED);                                                          \
        __auto_type model_object_ = (object);                                                                          \
        MODEL_VALUE(model_object_) model_is_ = { 0 };                                                                  \
        model_is_.bits = model_load(&model_site_, model_object_, sizeof *model_object_);                               \
        model_is_.value;                                                                                               \
    })

#define tri_store(object, value_, order_)                                                                              \
    __extension__({                                                                                                    \
        MODEL_SITE(MODEL_STORE, #object, order_, TRI_RELAXED);                                                         \
        __auto_type model_object_ = (object);                                                                          \
        MODEL_VALUE(model_object_) model_is_ = { 0 };                                                                  \
        model_is_.value = (value_);                                                                                    \
        model_store(&model_site_, model_object_, sizeof *model_object_, model_is_.bits);                               \
    })

#define MODEL_RMW_OF(what_, object, value_, order_)                                                                    \
    __extension__({                                                                                                    \
        MODEL_SITE(MODEL_RMW, #object, order_, TRI_RELAXED);                                                           \
        __auto_type model_object_ = (object);                                                                          \
        MODEL_VALUE(model_object_) model_is_ = { 0 };                                                                  \
        model_is_.value = (value_);                                                                                    \
        model_is_.bits = model_rmw(&model_site_, model_object_, sizeof *model_object_, what_, model_is_.bits);         \
        model_is_.value;                                                                                               \
    })

#define tri_exchange(object, value, order) MODEL_RMW_OF(MODEL_EXCHANGE, object, value, order)
#define tri_fetch_add(object, value, order) MODEL_RMW_OF(MODEL_ADD, object, value, order)
#define tri_fetch_sub(object, value, order) MODEL_RMW_OF(MODEL_SUB, object, value, order)
#define tri_fetch_or(object, value, order) MODEL_RMW_OF(MODEL_OR, object, value, order)
#define tri_fetch_and(object, value, order) MODEL_RMW_OF(MODEL_AND, object, value, order)

#define tri_cas(object, expected, desired, success, failure)                                                           \
    __extension__({                                                                                                    \
        MODEL_SITE(MODEL_CAS, #object, success, failure);                                                              \
        __auto_type model_object_ = (object);                                                                          \
        __auto_type model_expected_ = (expected);                                                                      \
        MODEL_VALUE(model_object_) model_old_ = { 0 };                                                                 \
        MODEL_VALUE(model_object_) model_new_ = { 0 };                                                                 \
        model_old_.value = *model_expected_;                                                                           \
        model_new_.value = (desired);                                                                                  \
        bool model_done_ =                                                                                             \
            model_cas(&model_site_, model_object_, sizeof *model_object_, &model_old_.bits, model_new_.bits);          \
        if (!model_done_)                                                                                              \
            *model_expected_ = model_old_.value;                                                                       \
        model_done_;                                                                                                   \
    })

#define tri_fence(order)                                                                                               \
    __extension__({                                                                                                    \
        MODEL_SITE(MODEL_FENCE, "fence", order, TRI_RELAXED);                                                          \
        model_fence(&model_site_);                                                                                     \
    })
#define tri_fence_compiler() ((void)0)
#define tri_fence_after_rmw() tri_fence(TRI_SEQ_CST)

/* The thread goes on when a location that it has read since its last turn holds something newer. */
#define tri_spin()                                                                                                     \
    __extension__({                                                                                                    \
        MODEL_SITE(MODEL_SPIN, "spin", TRI_RELAXED, TRI_RELAXED);                                                      \
        model_spin(&model_site_);                                                                                      \
    })

#endif
