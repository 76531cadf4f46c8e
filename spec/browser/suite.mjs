// Pages in a real browser, and servers beside them. `make browser` runs it.

import { after } from 'node:test'
import { closeAll } from './support.mjs'

import './endings.mjs'
import './chat.mjs'
import './ticker.mjs'

after(closeAll)
