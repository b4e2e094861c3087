import ugpt.app

ugpt.app.main()
