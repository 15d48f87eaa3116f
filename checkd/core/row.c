/* SPDX-License-Identifier: Apache-2.0 */
#include "checkd/core/row.h"

#include "common/msg/wire_code.h"

#define TYPE(type) WIRE_DEFINE(type)
#include "checkd/core/row.def"
#undef TYPE
