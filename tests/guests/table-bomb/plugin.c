// An authenticator that takes elements of a table until there are no more. It lets the user `ok` in. In C, where assembler can grow
// a table.

#include <string.h>

#include "guest.h"

__asm__(".tabletype hoard, funcref\nhoard:");

__attribute__((target("reference-types"))) static void fill_table(void) {
    for (int before = 0; before >= 0;)
        __asm__ volatile("ref.null_func\n i32.const 1000\n table.grow hoard\n local.set %0" : "=r"(before));
    __builtin_trap();
}

bool exports_drawspan_plugin_authenticator_authenticate(
    exports_drawspan_plugin_authenticator_authentication_request_t *request,
    exports_drawspan_plugin_authenticator_option_identity_t *ret,
    exports_drawspan_plugin_authenticator_plugin_error_t *err) {
    (void)err;
    if (request->username.len != 2 || memcmp(request->username.ptr, "ok", 2) != 0) fill_table();
    ret->is_some = true;
    guest_string_dup(&ret->val.client_id, "ok");
    exports_drawspan_plugin_authenticator_authentication_request_free(request);
    return true;
}
