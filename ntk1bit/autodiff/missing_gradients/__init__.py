"""Does a gradient get from every parameter to the output? `gradient_paths` asks; the other modules find out.

`influence` follows parameters through a traced program, `jumps` moves them a finite way in numbers, `lockstep` runs a
program at two values of its inputs at once.
"""
