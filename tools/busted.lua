-- busted under the interpreter that runs this file: valgrind and the sanitizers need the process itself,
-- not the wrapper that a package manager installed.
require "busted.runner" { standalone = false }
