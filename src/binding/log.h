/* Writing a log: what can go wrong there is no signal's matter. */
#ifndef WS_BINDING_LOG_H
#define WS_BINDING_LOG_H

#include <lua.h>

#pragma GCC visibility push(hidden)

/* Of the core: write_log(file, text) -> true | nil, message, errno. Raises if the file is closed. */
int ws_log_write(lua_State *L);

#pragma GCC visibility pop

#endif
