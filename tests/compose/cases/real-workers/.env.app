DATABASE_URL=postgres://user:p$$word@db:5432/app?sslmode=disable
SECRET_KEY='abc#def$ghi'
DEBUG=
