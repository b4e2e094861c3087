# Trains on the board's names, logs the loss, then makes up names until Ctrl-C: the board's program.
#
# As main.py in the folder where MicroPython starts, / or /flash, it runs at each reset. As mip puts
# it, in /lib, nothing starts it: it is an example, `import main` runs it, and it may be deleted.
import ugpt.app

ugpt.app.main()
