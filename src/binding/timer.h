/* after, every, on_signal: handles with cancel. sleep and wait: what a task can wait for. */
#ifndef WS_BINDING_TIMER_H
#define WS_BINDING_TIMER_H

#include <lua.h>

#pragma GCC visibility push(hidden)

void ws_timer_register(lua_State *L);

int ws_module_after(lua_State *L);
int ws_module_every(lua_State *L);
int ws_module_on_signal(lua_State *L);
int ws_module_sleep(lua_State *L);
int ws_module_wait(lua_State *L);

#pragma GCC visibility pop

#endif
