/* SPDX-License-Identifier: Apache-2.0 */
#include "common/msg/types.h"

#include "common/msg/wire_code.h"

#define TYPE(type) WIRE_DEFINE(type)
#include "common/msg/types.def"
#undef TYPE
