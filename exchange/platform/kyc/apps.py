from django.apps import AppConfig


class KycConfig(AppConfig):
    name = "exchange.platform.kyc"
    label = "kyc"
    verbose_name = "KYC"
