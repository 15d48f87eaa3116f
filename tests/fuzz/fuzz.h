/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzz target is one function that takes any bytes and must neither crash, leak nor write out of
 * bounds; what it checks beyond that it checks with must(). Run under libFuzzer or under
 * tests/fuzz/driver.c. Returns 0 always.
 */
#ifndef MUSTER_TESTS_FUZZ_FUZZ_H
#define MUSTER_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
